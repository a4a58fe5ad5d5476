import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildBaseImages } from './base-images.ts';
import { docker, run } from './run.ts';

// Two builds of the same source, from the same base image and package lists, without the build cache.
// A difference would be something that nobody can check against the source, such as a log of the build.

const TAGS = ['ephemera-e2e/reproducible:1', 'ephemera-e2e/reproducible:2'];
/** Docker mounts these into every container. */
const MOUNTED = ['./etc/hosts', './etc/hostname', './etc/resolv.conf'];
const FILES = `cd / \
  && find . -xdev -printf '%p\\t%y %m %U:%G %l\\n' \
  && find . -xdev -type f -print0 | xargs -0 sha256sum | sed -E 's/^([0-9a-f]+)  (.*)$/\\2\\t\\1/'`;

let removeTags: () => Promise<void> = () => Promise.resolve();
/** Images of single steps, the last first. */
const steps: string[] = [];
let present = new Set<string>();
beforeAll(async () => {
  removeTags = await buildBaseImages();
  present = new Set(await docker('images', '--all', '--quiet'));
}, 600_000);
afterAll(async () => {
  await docker('rmi', ...TAGS).catch(() => undefined);
  // The earlier stages have no tag. Steps of the last stage went with it.
  for (const id of steps.filter((step) => !present.has(step))) {
    await docker('rmi', id).catch(() => undefined);
  }
  await removeTags();
}, 120_000);

/** Builds the image without the cache. */
async function build(tag: string): Promise<void> {
  const output = await run('docker', ['build', '--no-cache', '--tag', tag, '.'], {
    ...process.env,
    // The builder of the daemon needs no additional program.
    DOCKER_BUILDKIT: '0',
  });
  const ids = Array.from(output.matchAll(/^ ---> ([0-9a-f]{12})$/gm), ([, id = '']) => id);
  steps.unshift(...ids.reverse());
}

/** Type, mode, owner, link target and content of every file, by its path. Times are left out. */
async function filesOf(tag: string): Promise<Map<string, string>> {
  const lines = await docker('run', '--rm', '--network=none', '--user=0', tag, 'sh', '-c', FILES);
  const files = new Map<string, string>();
  for (const line of lines) {
    const [path = '', value = ''] = line.split('\t');
    if (!MOUNTED.includes(path)) files.set(path, `${files.get(path) ?? ''} ${value}`);
  }
  return files;
}

test('two builds of the image have equal files', async () => {
  const trees: Map<string, string>[] = [];
  for (const tag of TAGS) {
    await build(tag);
    trees.push(await filesOf(tag));
  }
  const [first = new Map<string, string>(), second = new Map<string, string>()] = trees;
  expect(first.get('./app/apps/proxy/src/main.ts')).toMatch(/^ f 644 0:0 {2}[0-9a-f]{64}$/);
  const paths = new Set([...first.keys(), ...second.keys()]);
  expect([...paths].filter((path) => first.get(path) !== second.get(path))).toEqual([]);
}, 1_200_000);
