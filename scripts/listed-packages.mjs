import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const IMPORT = /(?:from|import) '(@ephemera\/[a-z-]+)/g;

const readManifest = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

/**
 * Returns the packages of the workspace that a package imports without listing them. Nx follows the
 * lists: without an entry it would reuse a cached result after a change of the imported package.
 *
 * @param {string} folder of the package
 * @returns {string[]} one line for each missing entry
 */
export function unlistedIn(folder) {
  const { name, dependencies, devDependencies } = readManifest(folder);
  const listed = { ...dependencies, ...devDependencies, [name]: '' };
  const imported = new Set();
  for (const file of readdirSync(folder, { recursive: true })) {
    if (!file.endsWith('.ts') || file.includes('node_modules')) continue;
    const text = readFileSync(join(folder, file), 'utf8');
    for (const [, found] of text.matchAll(IMPORT)) imported.add(found);
  }
  return [...imported]
    .filter((found) => !(found in listed))
    .map((found) => `${name} imports ${found}, and its package.json does not list it`);
}

/**
 * The files that a package.json names and that do not exist. A pattern with `*` must match a file.
 *
 * @param {string} folder of the package
 * @returns {string[]} one line for each missing file
 */
export function missingFilesIn(folder) {
  const { name, main, module, types, bin, exports, imports, files } = readManifest(folder);
  const named = { main, module, types, bin, exports, imports, files };
  return Object.entries(named).flatMap(([field, value]) =>
    pathsIn(value)
      // A target of "imports" may be a package.
      .filter((path) => field !== 'imports' || path.startsWith('.'))
      // In "files", a "!" excludes paths that need not exist.
      .filter((path) => !path.startsWith('!'))
      .filter((path) => globSync(path.replace(/^\.?\//, ''), { cwd: folder }).length === 0)
      .map((path) => `${name} names ${path} in "${field}", and there is no such file`),
  );
}

/** Every string in a value of package.json, at any depth: conditions and fallbacks nest. */
function pathsIn(value) {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(pathsIn);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(import.meta.dirname, '..');
  const packages = ['apps', 'libs', 'tests']
    .flatMap((group) => readdirSync(join(root, group)).map((name) => join(root, group, name)))
    .filter((folder) => existsSync(join(folder, 'package.json')));
  const problems = [
    ...packages.flatMap(unlistedIn),
    ...[root, ...packages].flatMap(missingFilesIn),
  ];
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
