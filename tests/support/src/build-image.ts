import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const program = join(import.meta.dirname, '../../../apps/worker/src/build-image.ts');

/**
 * Builds an image for a test with the product's own program, which needs no Docker client. An
 * unchanged context is not built again.
 * @param context the folder with the Dockerfile and all files that it copies
 * @param args build arguments
 * @param output receives the output of the build as it appears
 * @throws Error with the output of the build, if a step fails
 */
export async function buildTestImage(
  tag: string,
  context: string,
  args: Readonly<Record<string, string>> = {},
  output?: NodeJS.WritableStream,
): Promise<void> {
  const flags = Object.entries(args).flatMap(([name, value]) => [
    '--build-arg',
    `${name}=${value}`,
  ]);
  const building = promisify(execFile)(
    process.execPath,
    [program, '--context', context, '--tag', tag, ...flags],
    { maxBuffer: 64 * 1024 ** 2 },
  );
  if (output) building.child.stdout?.pipe(output, { end: false });
  await building;
}
