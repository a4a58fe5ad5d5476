import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { installPackages } from './packages.mjs';
import { makeRunnable } from './pinned-node.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * From a bare checkout to one whose packages are installed. Runs on the Node of the machine,
 * however old; everything after it runs on the Node that the project pins.
 *
 * @returns the pinned Node, and an environment in which `node` is that one
 */
export async function prepare() {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    fail(`Ephemera runs on Linux, x64 or arm64; this is ${process.platform} ${process.arch}.`);
  }
  await installPackages(root).catch((error) => fail(error.message));
  const node = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
  if (!existsSync(node)) {
    fail(`${node} is missing: npm has left out the optional packages (see: npm config get omit).`);
  }
  try {
    makeRunnable(node);
  } catch (error) {
    fail(error.message);
  }
  const path = [dirname(node), join(root, 'node_modules/.bin'), process.env.PATH];
  return { node, env: { ...process.env, PATH: path.join(delimiter) } };
}

/** Ends the process with one line that says why. */
function fail(message) {
  console.error(message);
  process.exit(1);
}
