import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const IMPORT = /(?:from|import) '(@ephemera\/[a-z-]+)/g;

/**
 * The packages of the workspace that a package imports and does not list. Nx follows the lists: a
 * result that it keeps would otherwise outlive a change of what was imported.
 *
 * @param {string} folder of the package
 * @returns {string[]} one line a fault
 */
export function unlistedIn(folder) {
  const { name, dependencies, devDependencies } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(import.meta.dirname, '..');
  const faults = ['apps', 'libs', 'tests']
    .flatMap((room) => readdirSync(join(root, room)).map((name) => join(root, room, name)))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .flatMap(unlistedIn);
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
