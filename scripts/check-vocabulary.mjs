import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

/**
 * Refuses retired names where they are declared, and listed phrases in comments, documents and
 * messages. `vocabulary.json` beside this file lists both, each with the term to use:
 * `identifiers` by kind of declaration (`any` holds for every kind of TypeScript declaration),
 * `phrases` as regular expressions that match whole words in any case.
 */
const root = join(import.meta.dirname, '..');
const { identifiers, phrases } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'vocabulary.json'), 'utf8'),
);

const PATTERNS = phrases.map(({ pattern, use }) => ({
  use,
  // A phrase may be wrapped over two lines of a comment.
  expression: new RegExp(
    `(?<![\\w-])(?:${pattern.replaceAll(' ', String.raw`(?:\s+(?:\*|//|--|#)?\s*)`)})(?![\\w-])`,
    'gi',
  ),
}));

const K = ts.SyntaxKind;
const KINDS = new Map([
  [K.Parameter, 'parameter'],
  [K.VariableDeclaration, 'variable'],
  [K.FunctionDeclaration, 'function'],
  [K.FunctionExpression, 'function'],
  [K.ClassDeclaration, 'type'],
  [K.InterfaceDeclaration, 'type'],
  [K.TypeAliasDeclaration, 'type'],
  [K.EnumDeclaration, 'type'],
  [K.PropertySignature, 'member'],
  [K.PropertyDeclaration, 'member'],
  [K.PropertyAssignment, 'member'],
  [K.MethodSignature, 'member'],
  [K.MethodDeclaration, 'member'],
  [K.GetAccessor, 'member'],
]);

/** The kind of declaration of a node; undefined if it declares no name. */
function kindOf(node) {
  if (!ts.isBindingElement(node)) return KINDS.get(node.kind);
  // `{ most }` takes its name from the type, whose declaration is checked. `{ a: most }` declares
  // one.
  if (!node.propertyName && ts.isObjectBindingPattern(node.parent)) return undefined;
  let owner = node.parent.parent;
  while (ts.isBindingElement(owner)) owner = owner.parent.parent;
  return ts.isParameter(owner) ? 'parameter' : 'variable';
}

const retired = (kind, name) =>
  Object.hasOwn(identifiers[kind] ?? {}, name) ? identifiers[kind][name] : undefined;

/** Findings in one file, in the order of the lines: `{ line, word, use }` each. */
export function findingsIn(path, text) {
  const findings = namesOfPath(path);
  const lineAt = lineFinder(text);
  const note = (at, word, use) => findings.push({ line: lineAt(at), word, use });
  const prose = (part, start) => {
    for (const { expression, use } of PATTERNS) {
      for (const { 0: word, index } of part.matchAll(expression)) {
        note(start + index, word.replaceAll(/\s+(?:\*|\/\/|--|#)?\s*/g, ' '), use);
      }
    }
  };
  if (/\.[mc]?[jt]s$/.test(path)) readScript(path, text, note, prose);
  else if (path.endsWith('.lua')) readLua(text, note, prose);
  else if (path.endsWith('.md')) prose(withoutCode(text), 0);
  else if (/\.ya?ml$/.test(path)) {
    for (const { 1: comment, index } of text.matchAll(/^\s*(#.*)$/gm)) prose(comment, index);
  }
  return findings.sort((a, b) => a.line - b.line);
}

function namesOfPath(path) {
  const found = [];
  const stem = basename(path).replace(/(?:\.[a-z-]+)*\.(?:[mc]?[jt]s|lua)$/, '');
  const file = /\.(?:[mc]?[jt]s|lua)$/.test(path) ? retired('file', stem) : undefined;
  if (file !== undefined) found.push({ line: 1, word: basename(path), use: file });
  for (const folder of dirname(path).split('/')) {
    const use = retired('folder', folder);
    if (use !== undefined) found.push({ line: 1, word: `${folder}/`, use });
  }
  return found;
}

function readScript(path, text, note, prose) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const isTest = /(?:\.test\.[mc]?[jt]s$|(?:^|\/)tests?\/)/.test(path);
  const visit = (node) => {
    const kind = kindOf(node);
    if (kind !== undefined && node.name && /Identifier$/.test(K[node.name.kind])) {
      const name = node.name.text.replace(/^#/, '');
      const use = retired(kind, name) ?? retired('any', name);
      if (use !== undefined) note(node.name.getStart(source), name, use);
    }
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || isTemplatePart(node)) {
      const use = isUnionMember(node) ? retired('literal', node.text) : undefined;
      if (use !== undefined) note(node.getStart(source), node.text, use);
      if (!isTest && node.text.includes(' ')) prose(node.getText(source), node.getStart(source));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const { pos, end } of commentsOf(source, text)) prose(text.slice(pos, end), pos);
}

const isTemplatePart = (node) => node.kind === K.TemplateMiddle || node.kind === K.TemplateTail;

/** A string that is a member of a union, or the value of a `kind`. */
function isUnionMember({ parent }) {
  if (!parent) return false;
  return (
    ts.isLiteralTypeNode(parent) ||
    (ts.isPropertyAssignment(parent) && parent.name.getText() === 'kind')
  );
}

function commentsOf(source, text) {
  const seen = new Map();
  const visit = (node) => {
    for (const range of ts.getLeadingCommentRanges(text, node.pos) ?? [])
      seen.set(range.pos, range);
    for (const range of ts.getTrailingCommentRanges(text, node.end) ?? [])
      seen.set(range.pos, range);
    node.getChildren(source).forEach(visit);
  };
  visit(source);
  return seen.values();
}

function readLua(text, note, prose) {
  for (const { 1: name, index } of text.matchAll(/^\s*local (?:function )?(\w+)/gm)) {
    const use = retired('lua', name);
    if (use !== undefined) note(index, name, use);
  }
  // Consecutive comment lines are checked as one text.
  for (const { 0: block, index } of text.matchAll(/(?:^[ \t]*--.*\n?)+/gm)) prose(block, index);
}

/** Markdown with its code blanked out, so that the places of the rest stay the same. */
function withoutCode(text) {
  const blank = (code) => code.replaceAll(/[^\n]/g, ' ');
  return text.replaceAll(/^```[^]*?^```/gm, blank).replaceAll(/`[^`\n]*`/g, blank);
}

function lineFinder(text) {
  const ends = [...text.matchAll(/\n/g)].map(({ index }) => index);
  return (at) => {
    // The offset may lie on the break itself, where a match begins with white space.
    const found = ends.findIndex((end) => end >= at);
    return (found === -1 ? ends.length : found) + 1;
  };
}

const SKIPPED = /^(?:docs\/reports\/|CHANGELOG\.md$|scripts\/(?:check-)?vocabulary)/;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  let count = 0;
  for (const path of new Set(listed.split('\n'))) {
    if (!/\.(?:[mc]?[jt]s|lua|md|ya?ml)$/.test(path) || SKIPPED.test(path)) continue;
    let text;
    try {
      text = readFileSync(join(root, path), 'utf8');
    } catch {
      continue; // Deleted, and not committed yet.
    }
    for (const { line, word, use } of findingsIn(path, text)) {
      count++;
      console.log(`${path}:${line}: "${word}" is retired; use: ${use}`);
    }
  }
  if (count > 0) console.log(`${count} findings. scripts/vocabulary.json lists the terms.`);
  process.exitCode = count > 0 ? 1 : 0;
}
