/**
 * Builds images through the Docker API, for machines that have an engine and no client:
 *
 *     node apps/worker/src/build-image.ts --context DIR --tag TAG [--build-arg NAME=VALUE]...
 *
 * Each further `--context` begins another image. The images are built in order, so that one can be
 * the base of the next.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { readConfig } from './config.ts';
import { buildImage } from '@ephemera/worker';
import { connectDocker } from '@ephemera/worker';

const { tokens } = parseArgs({
  options: {
    context: { type: 'string', multiple: true },
    tag: { type: 'string', multiple: true },
    'build-arg': { type: 'string', multiple: true },
  },
  tokens: true,
});
const images: { context: string; tag: string; args: Record<string, string> }[] = [];
for (const token of tokens) {
  if (token.kind !== 'option') continue;
  const { value } = token;
  if (token.name === 'context') images.push({ context: resolve(value), tag: '', args: {} });
  const image = images.at(-1);
  if (image && token.name === 'tag') image.tag = value;
  if (image && token.name === 'build-arg') {
    const cut = value.indexOf('=');
    image.args[value.slice(0, cut)] = value.slice(cut + 1);
  }
}
if (images.length === 0 || images.some(({ tag }) => tag === '')) {
  process.stderr.write('build-image requires --context DIR, then --tag TAG, for each image\n');
  process.exit(2);
}

try {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const docker = connectDocker(readConfig().dockerHost);
  for (const image of images) print(`${image.tag} ${await buildImage(docker, image, print)}`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
