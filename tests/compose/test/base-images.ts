import { join } from 'node:path';
import { DEBIAN_IMAGE, buildDebianImage } from './debian-image.ts';
import { makeNodeContext } from './node-context.ts';
import { docker, root, run } from './run.ts';

const folder = join(root, 'apps/e2e-compose/base-images');

/** The names that the Dockerfile and the compose file pull, and how each is made without a pull. */
const images: Readonly<Record<string, () => Promise<string>>> = {
  'node:26-bookworm-slim': async () => build('node', await makeNodeContext()),
  'redis:7-bookworm': () => build('redis', join(folder, 'redis')),
  'haproxy:2.6-bookworm': () => build('haproxy', join(folder, 'haproxy')),
  // Made by the preparation of all tests, for the demo.
  'busybox:stable': () => Promise.resolve('ephemera/busybox:local'),
};

/**
 * Gives the names that the product's files pull to images made on this machine, unless the
 * machine has the official ones.
 *
 * @returns what takes the names away again, lest a later start of the product meet an imitation
 */
export async function buildBaseImages(): Promise<() => Promise<void>> {
  const lent: string[] = [];
  for (const [name, make] of Object.entries(images)) {
    if (await isOfficial(name)) continue;
    await docker('tag', await make(), name);
    lent.push(name);
  }
  return async () => {
    for (const name of lent) await docker('rmi', '--no-prune', name);
  };
}

/** One that an interrupted run left behind under the name has a name of ours as well. */
async function isOfficial(name: string): Promise<boolean> {
  const format = '{{range .RepoTags}}{{println .}}{{end}}';
  const tags = await docker('inspect', '--type=image', `--format=${format}`, name).catch(() => []);
  return tags.length > 0 && !tags.some((tag) => tag.startsWith('ephemera'));
}

async function build(kind: string, context: string): Promise<string> {
  await buildDebianImage();
  const tag = `ephemera-e2e/${kind}`;
  const program = join(root, 'apps/worker/src/build-image.ts');
  const args = ['--context', context, '--tag', tag, '--build-arg', `BASE=${DEBIAN_IMAGE}`];
  await run(process.execPath, [program, ...args]);
  return tag;
}
