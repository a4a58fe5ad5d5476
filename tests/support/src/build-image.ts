import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const program = join(import.meta.dirname, '../../../apps/worker/src/build-image.ts');

/**
 * Builds an image for a test with the product's own program, which needs no Docker client. An
 * unchanged context is not built again.
 * @param context the folder with the Dockerfile and all files that it copies
 * @param args build arguments
 * @throws Error with the output of the build, if a step fails
 */
export async function buildTestImage(
  tag: string,
  context: string,
  args: Readonly<Record<string, string>> = {},
): Promise<void> {
  const flags = Object.entries(args).flatMap(([name, value]) => [
    '--build-arg',
    `${name}=${value}`,
  ]);
  await promisify(execFile)(
    process.execPath,
    [program, '--context', context, '--tag', tag, ...flags],
    { maxBuffer: 64 * 1024 ** 2 },
  );
}
