import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * Refuses relative links in Markdown files that lead to no file, or to no heading of a Markdown
 * file. Links to other sites are not checked.
 */
const root = join(import.meta.dirname, '..');

/** Blanks code, so that offsets and lines of the rest stay the same. */
function withoutCode(text) {
  const blank = (code) => code.replaceAll(/[^\n]/g, ' ');
  return text.replaceAll(/^(```|~~~)[^]*?^\1/gm, blank).replaceAll(/`[^`\n]*`/g, blank);
}

/** The anchors that GitHub gives to the headings of a Markdown text. */
export function anchorsIn(text) {
  const anchors = new Set();
  const headings = text
    .replaceAll(/^```[^]*?^```/gm, '')
    .matchAll(/^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$/gm);
  for (const [, heading] of headings) {
    const slug = heading
      .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

/**
 * The broken relative links of one file: `{ line, target }` each.
 *
 * @param path of the file, relative to the root
 * @param read returns the text of a file, an empty text for a folder or a binary file, and
 * undefined if there is none
 */
export function brokenLinks(path, text, read) {
  const broken = [];
  const plain = withoutCode(text);
  const links = plain.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g);
  for (const { 1: target, index } of links) {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
    const [file, anchor] = target.split('#');
    const to = file === '' ? path : join(dirname(path), decodeURI(file));
    const content = file === '' ? text : read(to);
    const isFound =
      content !== undefined &&
      (anchor === undefined || !to.endsWith('.md') || anchorsIn(content).has(anchor));
    if (!isFound) broken.push({ line: plain.slice(0, index).split('\n').length, target });
  }
  return broken;
}

function readFile(path) {
  const file = join(root, path);
  if (!existsSync(file)) return undefined;
  return path.endsWith('.md') ? readFileSync(file, 'utf8') : '';
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
    cwd: root,
    encoding: 'utf8',
  });
  let count = 0;
  for (const path of new Set(files.split('\n').filter(Boolean))) {
    const text = readFile(path);
    if (text === undefined) continue; // Deleted, and not committed yet.
    for (const { line, target } of brokenLinks(path, text, readFile)) {
      count++;
      console.log(`${path}:${line}: ${target} leads to no file or heading`);
    }
  }
  process.exitCode = count > 0 ? 1 : 0;
}
