import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { docker, root, run } from './run.ts';

const SUITE = 'bookworm';
/**
 * A shared library that the Node.js binary needs. The minimal Debian system does not include it.
 */
const PACKAGES = 'libatomic1';

export const DEBIAN_IMAGE = `ephemera-e2e/debian:${SUITE}-${PACKAGES}`;

/** Builds an image of the minimal Debian system from Debian packages, once per machine. */
export async function buildDebianImage(): Promise<void> {
  if ((await docker('images', '--quiet', DEBIAN_IMAGE)).length > 0) return;
  const folder = join(root, '.ephemera/cache/debian-image');
  const files = join(folder, 'root');
  const archive = join(folder, 'root.tar');
  await rm(folder, { recursive: true, force: true });
  await mkdir(files, { recursive: true });
  try {
    await run('debootstrap', ['--variant=minbase', `--include=${PACKAGES}`, SUITE, files]);
    await run('tar', ['-C', files, '--exclude=./var/cache/apt/archives/*', '-cf', archive, '.']);
    await docker('import', archive, DEBIAN_IMAGE);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
