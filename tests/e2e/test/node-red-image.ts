import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { buildTestImage } from '@ephemera/test-support';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const source = join(root, 'tests/e2e/node-red');
const context = join(root, '.ephemera/cache/node-red-image');

export const NODE_RED_IMAGE = 'ephemera-e2e/node-red';

/**
 * Builds an image of Node-RED without an image registry. It contains npm packages, the Node.js
 * binary of this process, and its shared libraries.
 */
export async function buildNodeRedImage(): Promise<void> {
  if (!(await isInstalled())) await install();
  await buildTestImage(NODE_RED_IMAGE, context);
}

async function install(): Promise<void> {
  await rm(context, { recursive: true, force: true });
  await mkdir(join(context, 'app'), { recursive: true });
  await copyFile(join(source, 'Dockerfile'), join(context, 'Dockerfile'));
  for (const name of ['package.json', 'package-lock.json']) {
    await copyFile(join(source, name), join(context, 'app', name));
  }
  await run('npm', ['ci', '--omit=optional', '--ignore-scripts', '--loglevel=error'], {
    cwd: join(context, 'app'),
  });
  await mkdir(join(context, 'root/bin'), { recursive: true });
  await cp(process.execPath, join(context, 'root/bin/node'));
  for (const library of await librariesOf(process.execPath)) {
    await mkdir(join(context, 'root', dirname(library)), { recursive: true });
    await cp(library, join(context, 'root', library), { dereference: true });
  }
  // Copied last: `isInstalled` then returns false after an interrupted installation.
  await copyFile(join(source, 'settings.js'), join(context, 'app/settings.js'));
}

async function isInstalled(): Promise<boolean> {
  const files = ['package-lock.json', 'settings.js'];
  const same = files.map(async (name) => {
    const [wanted, found] = await Promise.all([
      readFile(join(source, name), 'utf8'),
      readFile(join(context, 'app', name), 'utf8').catch(() => undefined),
    ]);
    return wanted === found;
  });
  return (await Promise.all(same)).every(Boolean);
}

/** The absolute paths of the shared libraries of a program. */
async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  return [...stdout.matchAll(/(\/\S+\.so\S*)/g)].map(([path]) => path);
}
