import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The record of the last successful `npm run check:lock`: a hash of the files that the result
 * depends on, committed with them.
 *
 * CI repeats the check, which takes minutes, only when the hash differs. A comparison of commits
 * cannot decide this: a fresh clone does not know which commit was checked last, and a range that is
 * too short skips the check silently. The hash needs no history, and a change that nobody has
 * checked always differs from it.
 */
const RECORD = 'scripts/lock-proved.json';

/** The start scripts, which must run on every supported Node, and the check itself. */
const SCRIPTS = [
  'check-lock.mjs',
  'debian-root.mjs',
  'file-tree.mjs',
  'lock-rules.mjs',
  'lock-smoke.mjs',
  'packages.mjs',
  'pinned-node.mjs',
  'prepare.mjs',
  'run.mjs',
  'start.mjs',
].map((name) => `scripts/${name}`);

/** Scripts of a package.json that take part in an install or in `npm start`. */
const INSTALL_SCRIPTS = /^(pre|post)?(install|prepare|start)$/;

/**
 * The parts of a package.json that decide what npm installs. Another `npm run` script or another
 * description does not invalidate the record.
 */
export function installFields({ description: _, scripts, ...fields }) {
  const relevant = Object.entries(scripts ?? {}).filter(([name]) => INSTALL_SCRIPTS.test(name));
  return { ...fields, scripts: Object.fromEntries(relevant) };
}

/**
 * @param {Iterable<[file: string, text: string]>} files
 * @returns {string} SHA-256 in hex; the order of the files does not matter
 */
export function fingerprint(files) {
  const hash = createHash('sha256');
  for (const [file, text] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const relevant =
      basename(file) === 'package.json' ? JSON.stringify(installFields(JSON.parse(text))) : text;
    hash.update(`${file}\0${relevant}\0`);
  }
  return hash.digest('hex');
}

/** The fingerprint of the files as they are in the working tree. */
export function currentFingerprint(root) {
  const patterns = ['package.json', 'package-lock.json'].flatMap((name) => [name, `*/${name}`]);
  // The packages of examples are installed in their images only, and those of the mutation tests by
  // `npm run mutants` only.
  const others = [':!examples', ':!scripts/mutants'];
  const args = ['ls-files', '-z', '--', ...patterns, ...SCRIPTS, ...others];
  const listing = execFileSync('git', args, { cwd: root });
  const files = listing.toString().split('\0').filter(Boolean);
  return fingerprint(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
}

/** @returns {boolean} whether these files have passed the check */
export function isProved(root) {
  const file = join(root, RECORD);
  if (!existsSync(file)) return false;
  return JSON.parse(readFileSync(file, 'utf8')).sha256 === currentFingerprint(root);
}

/**
 * @param {string} sha256 the fingerprint from before the check, so that an edit during it is not recorded
 * @param {{node: string, npm: string}[]} pairs the versions that passed
 */
export function writeRecord(root, sha256, pairs) {
  writeFileSync(join(root, RECORD), `${JSON.stringify({ sha256, pairs }, null, 2)}\n`);
  return RECORD;
}

// Exit code 0: nothing to check. Runs on the Node of the machine, before any package is installed.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const proved = isProved(dirname(dirname(fileURLToPath(import.meta.url))));
  console.log(
    proved
      ? 'The package files have passed check:lock.'
      : `The package files differ from those that passed check:lock (${RECORD}).`,
  );
  process.exitCode = proved ? 0 : 1;
}
