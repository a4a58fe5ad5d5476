/**
 * Builds an image through the Docker API, for machines that have an engine and no client:
 *
 *     node apps/worker/src/build-image.ts --context DIR --tag TAG [--build-arg NAME=VALUE]...
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { readConfig } from './config.ts';
import { buildImage } from '@ephemera/worker';
import { connectDocker } from '@ephemera/worker';

const { values } = parseArgs({
  options: {
    context: { type: 'string' },
    tag: { type: 'string' },
    'build-arg': { type: 'string', multiple: true, default: [] },
  },
});
const { context, tag } = values;
if (context === undefined || tag === undefined) {
  process.stderr.write('build-image requires --context DIR and --tag TAG\n');
  process.exit(2);
}

const args = Object.fromEntries(
  values['build-arg'].map((pair) => {
    const cut = pair.indexOf('=');
    return [pair.slice(0, cut), pair.slice(cut + 1)];
  }),
);
try {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const docker = connectDocker(readConfig().dockerHost);
  const done = await buildImage(docker, { context: resolve(context), tag, args }, print);
  print(`${tag} ${done}`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
