import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { workspace } from '../config.ts';
import type { Reporter, OnProgress } from '../terminal/reporter.ts';
import { findProgram, isStaticBinary } from './find-program.ts';
import { installPackages } from './install-packages.ts';
import { runCommand } from './run-command.ts';

export const demoImage = 'ephemera/demo';
const baseImage = 'ephemera/busybox:local';
const busyboxPackage = { name: 'busybox-static', program: 'busybox' };

export interface ImageOptions {
  /** The folder in which the build context of the base image is prepared. */
  readonly stateFolder: string;
  /** The environment of the builds, including DOCKER_HOST. */
  readonly environment: NodeJS.ProcessEnv;
  readonly stop?: AbortSignal;
}

/**
 * Builds the demo image without a registry: a base image from the machine's static busybox, and the
 * demo on top of it. Unchanged layers come from the build cache.
 */
export async function buildDemoImage(report: Reporter, options: ImageOptions): Promise<void> {
  const busybox = findStaticBusybox() ?? (await installBusybox(report, options.stop));
  await report.step('Demo image', async (onProgress) => {
    const context = join(options.stateFolder, 'base-image');
    mkdirSync(context, { recursive: true });
    copyFileSync(busybox, join(context, 'busybox'));
    copyFileSync(join(workspace, 'apps/cli/base-image/Dockerfile'), join(context, 'Dockerfile'));
    const demo = join(workspace, 'apps/cli/demo-image');
    // One program builds both, because its start takes longer than the check of an unchanged image.
    const images = [
      '--context',
      context,
      '--tag',
      baseImage,
      '--context',
      demo,
      '--tag',
      demoImage,
    ];
    await buildImages([...images, '--build-arg', `BASE=${baseImage}`], options, onProgress);
  });
}

/** Builds images. Only the worker contains code for it, so it runs as a program, with `args`. */
export async function buildImages(
  args: readonly string[],
  { environment: env, stop }: Pick<ImageOptions, 'environment' | 'stop'>,
  onProgress: OnProgress,
): Promise<void> {
  const program = join(workspace, 'apps/worker/src/build-image.ts');
  await runCommand(process.execPath, [program, ...args], { env, stop, onLine: onProgress });
}

function findStaticBusybox(): string | undefined {
  const busybox = findProgram(busyboxPackage.program);
  return busybox !== undefined && isStaticBinary(busybox) ? busybox : undefined;
}

async function installBusybox(report: Reporter, stop?: AbortSignal): Promise<string> {
  const install = (onProgress: OnProgress) => installPackages([busyboxPackage], onProgress, stop);
  await report.step('Install busybox', install);
  return findStaticBusybox() ?? `/bin/${busyboxPackage.program}`;
}
