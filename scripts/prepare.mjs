import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { installPackages } from './packages.mjs';
import { makeRunnable } from './pinned-node.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Installs the packages of a bare checkout. Runs on the Node of the machine, however old.
 * Everything after it runs on the Node that the project pins.
 *
 * @returns the pinned Node, and an environment in which `node` is that one
 */
export async function prepare() {
  const unsupported = unsupportedPlatform(process.platform, process.arch);
  if (unsupported) fail(unsupported);
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

/**
 * Returns why Ephemera does not run on a platform, and what to do; undefined if it runs.
 *
 * @param {string} platform as in `process.platform`
 * @param {string} arch as in `process.arch`
 */
export function unsupportedPlatform(platform, arch) {
  if (platform === 'linux' && ['x64', 'arm64'].includes(arch)) return undefined;
  return (
    `Ephemera runs on Linux (x64 or arm64); this machine is ${platform} ${arch}. ` +
    'It reaches containers by their bridge addresses and sets firewall rules, which needs Linux. ' +
    'Run it on a Linux machine or in a Linux virtual machine.'
  );
}

/** Ends the process with a one-line reason. */
function fail(message) {
  console.error(message);
  process.exit(1);
}
