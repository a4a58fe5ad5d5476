import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Rules for the files that npm reads. `npm run check` applies them; `npm run check:lock` proves that
 * npm can install from these files.
 */

/** Informational fields. npm downloads nothing from their addresses. */
const INFORMATIONAL = new Set([
  'funding',
  'homepage',
  'repository',
  'bugs',
  'author',
  'license',
  'description',
]);

/** `https:…`, `git+ssh:…`, `//host/…` and GitHub shorthands such as `owner/repo#main`. */
const ADDRESS = /^[a-z+]+:\/\/|^(git|github|gitlab|bitbucket|gist):|^\/\/|^[\w-]+\/[\w.-]+#/i;

/**
 * The download addresses in a package.json or package-lock.json. A lock file without them installs
 * from whichever registry npm is configured for.
 *
 * @param {unknown} value parsed JSON
 * @param {string} [path] where `value` stands in the file
 * @returns {string[]} one line per address: path and value
 */
export function addressesIn(value, path = '') {
  if (typeof value === 'string') return ADDRESS.test(value) ? [`${path}: ${value}`] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value)
    .filter(([key]) => !INFORMATIONAL.has(key))
    .flatMap(([key, inner]) => addressesIn(inner, path === '' ? key : `${path} > ${key}`));
}

/**
 * Packages of a lock file that npm installs without verifying their bytes.
 *
 * @param {{packages: Record<string, import('./packages.mjs').LockedPackage & {link?: boolean, inBundle?: boolean}>}} lock
 */
export function withoutIntegrity(lock) {
  return Object.entries(lock.packages)
    .filter(([folder, { link }]) => folder.includes('node_modules/') && link !== true)
    .filter(([, { integrity, inBundle }]) => integrity === undefined && inBundle !== true)
    .map(([folder]) => folder);
}

/**
 * Names of the packages that have an install script. npm 11.19 and later asks `allowScripts` whether
 * to run it; earlier versions run all of them.
 *
 * @param {{packages: Record<string, {hasInstallScript?: boolean}>}} lock
 */
export function withInstallScript(lock) {
  const folders = Object.entries(lock.packages).filter(
    ([, { hasInstallScript }]) => hasInstallScript,
  );
  return [...new Set(folders.map(([folder]) => folder.split('node_modules/').at(-1)))].sort();
}

/** Lines of an .npmrc that name a registry or carry a credential. */
export function registriesIn(npmrc) {
  return npmrc
    .split('\n')
    .filter((line) => /^\s*([^#;]*registry\s*=|\/\/|_auth|.*:\/\/)/.test(line));
}

/**
 * Applies all rules to one file.
 *
 * @returns {string[]} one line per violation
 */
export function violations(file, text) {
  const name = basename(file);
  if (name === '.npmrc') {
    return registriesIn(text).map(
      (line) => `${file} names a registry: "${line}". Remove the line.`,
    );
  }
  const json = JSON.parse(text);
  const found = addressesIn(json).map(
    (line) =>
      `${file} has a download address (${line}). Replace it with a version from the registry.`,
  );
  if (json.publishConfig?.registry !== undefined) {
    found.push(`${file} names a registry in publishConfig. Remove the field.`);
  }
  if (name !== 'package-lock.json') return found;
  return found.concat(
    withoutIntegrity(json).map((folder) => `${file}: ${folder} has no integrity hash.`),
  );
}

/**
 * Requires that `allowScripts` denies every install script of the lock file, and names no other
 * package.
 */
export function scriptViolations(manifest, lock) {
  const scripts = withInstallScript(lock);
  const listed = manifest.allowScripts ?? {};
  return [
    ...scripts
      .filter((name) => listed[name] !== false)
      .map((name) => `${name} has an install script. Add "${name}": false to allowScripts.`),
    ...Object.keys(listed)
      .filter((name) => !scripts.includes(name))
      .map((name) => `allowScripts names ${name}, which has no install script here. Remove it.`),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const read = (file) => readFileSync(join(root, file), 'utf8');
  const patterns = ['package.json', 'package-lock.json', '.npmrc'].flatMap((n) => [n, `*/${n}`]);
  const listing = execFileSync('git', ['ls-files', '-z', '--', ...patterns], { cwd: root });
  const files = listing.toString().split('\0').filter(Boolean);
  const found = files.flatMap((file) => violations(file, read(file)));
  const [manifest, lock] = ['package.json', 'package-lock.json'].map((f) => JSON.parse(read(f)));
  found.push(...scriptViolations(manifest, lock));
  for (const line of found) console.error(line);
  process.exitCode = found.length === 0 ? 0 : 1;
}
