import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

import { root } from './prepare.mjs';

/**
 * Lets programs call `npm` and `npx` where `node` is the pinned one. The npm of Debian finds its own
 * packages only with the Node of Debian, so both run on the Node that has started this script's npm.
 *
 * @param {NodeJS.ProcessEnv} env of `prepare()`
 * @returns {NodeJS.ProcessEnv} unchanged where no npm has started this script
 */
export function withNpm(env) {
  const { npm_execpath: npm = '', npm_node_execpath: node = process.execPath } = env;
  if (!npm.endsWith('/npm-cli.js')) return env;
  const folder = join(root, '.ephemera/npm');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of ['npm', 'npx']) {
    const file = join(folder, name);
    const program = join(dirname(npm), `${name}-cli.js`);
    writeFileSync(file, `#!/bin/sh\nexec '${node}' '${program}' "$@"\n`);
    chmodSync(file, 0o755);
  }
  return { ...env, PATH: [folder, env.PATH].join(delimiter) };
}
