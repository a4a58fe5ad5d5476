import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildDebianImage, buildTestImage } from '@ephemera/test-support';
import { docker, root, run } from './run.ts';

const NPM = '11.19.1';
const MACHINES_TRUST = '/etc/ssl/certs/ca-certificates.crt';

const folder = join(root, 'tests/compose/base-images');

/** Base images of the Dockerfile and the compose file, with local builds that replace a pull. */
const images: Readonly<Record<string, () => Promise<string>>> = {
  'node:26-bookworm-slim': async () => build('node', await makeNodeContext()),
  'redis:7-bookworm': () => build('redis', join(folder, 'redis')),
  'haproxy:2.6-bookworm': () => build('haproxy', join(folder, 'haproxy')),
  // Built by the setup of all tests for the demo image.
  'busybox:stable': () => Promise.resolve('ephemera/busybox:local'),
};

/**
 * Tags local builds with the names of the base images, unless the official images are present.
 * @returns a function that removes the tags, so that a later build of the product does not use them
 */
export async function buildBaseImages(): Promise<() => Promise<void>> {
  const tagged: string[] = [];
  for (const [name, make] of Object.entries(images)) {
    if (await isOfficial(name)) continue;
    await docker('tag', await make(), name);
    tagged.push(name);
  }
  return async () => {
    for (const name of tagged) await docker('rmi', '--no-prune', name);
  };
}

/** A local build from an interrupted run also has one of our tags. */
async function isOfficial(name: string): Promise<boolean> {
  const format = '{{range .RepoTags}}{{println .}}{{end}}';
  const tags = await docker('inspect', '--type=image', `--format=${format}`, name).catch(() => []);
  return tags.length > 0 && !tags.some((tag) => tag.startsWith('ephemera'));
}

async function build(kind: string, context: string): Promise<string> {
  const tag = `ephemera-e2e/${kind}`;
  await buildTestImage(tag, context, { BASE: await buildDebianImage() });
  return tag;
}

/**
 * Creates the build context of the Node.js image from the Node.js binary of this test, npm, and the
 * npm registry configuration of this machine.
 * @returns the folder
 */
async function makeNodeContext(): Promise<string> {
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
