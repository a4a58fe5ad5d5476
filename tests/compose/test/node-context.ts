import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root, run } from './run.ts';

const NPM = '11.19.1';
const MACHINES_TRUST = '/etc/ssl/certs/ca-certificates.crt';

/**
 * Creates the build context of the Node.js image from the Node.js binary of this test, npm, and the
 * npm registry configuration of this machine.
 * @returns the folder
 */
export async function makeNodeContext(): Promise<string> {
  const context = join(root, '.ephemera/cache/compose-node-image');
  const local = join(context, 'root/usr/local');
  await mkdir(join(local, 'bin'), { recursive: true });
  await mkdir(join(local, 'etc'), { recursive: true });
  await copyFile(
    join(root, 'tests/compose/base-images/node/Dockerfile'),
    join(context, 'Dockerfile'),
  );
  await copyFile(process.execPath, join(local, 'bin/node'));
  await run('npm', ['install', '--global', '--prefix', local, '--loglevel=error', `npm@${NPM}`]);

  const registry = (await run('npm', ['config', 'get', 'registry'])).trim();
  const lines = [`registry=${registry}`];
  if ((await stat(MACHINES_TRUST).catch(() => undefined)) !== undefined) {
    await copyFile(MACHINES_TRUST, join(local, 'etc/machine.crt'));
    lines.push('cafile=/usr/local/etc/machine.crt');
  }
  await writeFile(join(local, 'etc/npmrc'), `${lines.join('\n')}\n`);
  return context;
}
