import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Every file below a folder with a hash of its content, or the target of a link.
 *
 * @param {(path: string) => boolean} [isIncluded]
 * @returns {Map<string, string>}
 */
export function readTree(folder, isIncluded = () => true, prefix = '', tree = new Map()) {
  for (const entry of readdirSync(join(folder, prefix), { withFileTypes: true })) {
    const path = join(prefix, entry.name);
    if (!isIncluded(path)) continue;
    if (entry.isDirectory()) readTree(folder, isIncluded, path, tree);
    else if (entry.isSymbolicLink()) tree.set(path, `-> ${readlinkSync(join(folder, path))}`);
    else
      tree.set(
        path,
        createHash('sha1')
          .update(readFileSync(join(folder, path)))
          .digest('hex'),
      );
  }
  return tree;
}

/**
 * The paths that differ between two trees.
 *
 * @returns {string[]} `+ path`, `- path` or `~ path`, sorted by path
 */
export function changedPaths(before, after) {
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => `${!before.has(path) ? '+' : !after.has(path) ? '-' : '~'} ${path}`);
}

/** Replaces the paths inside one package by the package, with the number of files. */
export function byPackage(changes) {
  const counts = new Map();
  for (const change of changes) {
    const [, sign, name] = /^(.) ((?:@[^/]+\/)?[^/]+)/.exec(change);
    counts.set(`${sign} ${name}`, (counts.get(`${sign} ${name}`) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${name} (${count} file${count === 1 ? '' : 's'})`);
}
