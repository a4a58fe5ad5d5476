import { join } from 'node:path';
import { DEBIAN_IMAGE, buildDebianImage } from './debian-image.ts';
import { makeNodeContext } from './node-context.ts';
import { docker, root, run } from './run.ts';

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
  await buildDebianImage();
  const tag = `ephemera-e2e/${kind}`;
  const program = join(root, 'apps/worker/src/build-image.ts');
  const args = ['--context', context, '--tag', tag, '--build-arg', `BASE=${DEBIAN_IMAGE}`];
  await run(process.execPath, [program, ...args]);
  return tag;
}
