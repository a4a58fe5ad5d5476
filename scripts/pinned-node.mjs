import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * Returns why a Node does not run; undefined if it runs. Node's binaries link to libatomic, which a
 * minimal Debian lacks, and which npm packages cannot provide.
 */
export function startErrorOf(node) {
  const { error, status, stderr } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (error) return error.message;
  return status === 0 ? undefined : stderr.trim();
}

const installLibrary = [
  'apt-get update -q',
  'DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libatomic1',
].join(' && ');

/**
 * Makes the pinned Node runnable: installs the missing library, as root.
 *
 * @throws an error that says what to do, if Node cannot be made to run
 */
export function makeRunnable(node) {
  const problem = startErrorOf(node);
  if (problem === undefined) return;
  // The kernel reports ENOENT for a binary whose loader is missing.
  if (problem.includes('ENOENT') && existsSync(node)) {
    throw new Error(
      'The pinned Node needs glibc, which this Linux does not have (Alpine, for one, has musl). ' +
        'Run Ephemera on a distribution with glibc, such as Debian.',
    );
  }
  if (!problem.includes('libatomic.so.1'))
    throw new Error(`The pinned Node does not run: ${problem}`);
  const { status: hasApt } = spawnSync('apt-get', ['--version']);
  if (process.getuid() !== 0 || hasApt !== 0) {
    throw new Error(
      `Node needs libatomic, which requires root to install. Run:\n\n    ${asRoot()}\n`,
    );
  }
  console.log('Installing libatomic1, which Node needs …');
  const { status, stdout, stderr } = spawnSync('sh', ['-c', installLibrary], { encoding: 'utf8' });
  const left = status === 0 ? startErrorOf(node) : `${stdout}${stderr}`;
  if (left) throw new Error(`libatomic1 could not be installed:\n${left}`);
}

const asRoot = () => `sudo sh -c '${installLibrary}'`;
