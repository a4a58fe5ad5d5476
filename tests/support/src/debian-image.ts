import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const folder = join(import.meta.dirname, '../../../.ephemera/cache/debian-image');

const SUITE = 'bookworm';
/**
 * A shared library that the Node.js binary needs. The minimal Debian system does not include it.
 */
const PACKAGES = 'libatomic1';
const DEBIAN_IMAGE = `ephemera-e2e/debian:${SUITE}-${PACKAGES}`;

/**
 * Builds an image of the minimal Debian system from Debian packages, once per machine. Needs root
 * and debootstrap.
 * @returns its name
 */
export async function buildDebianImage(): Promise<string> {
  const { stdout } = await run('docker', ['images', '--quiet', DEBIAN_IMAGE]);
  if (stdout.trim() !== '') return DEBIAN_IMAGE;
  const files = join(folder, 'root');
  const archive = join(folder, 'root.tar');
  await rm(folder, { recursive: true, force: true });
  await mkdir(files, { recursive: true });
  try {
    await run('debootstrap', ['--variant=minbase', `--include=${PACKAGES}`, SUITE, files], {
      maxBuffer: 64 * 1024 ** 2,
    });
    await run('tar', ['-C', files, '--exclude=./var/cache/apt/archives/*', '-cf', archive, '.']);
    await run('docker', ['import', archive, DEBIAN_IMAGE]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return DEBIAN_IMAGE;
}
