import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * What keeps a Node from running, or undefined where it runs. Node's own binaries link to
 * libatomic, which a bare Debian does not have; packages cannot bring it along.
 */
export function faultOf(node) {
  const { error, status, stderr } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (error) return error.message;
  return status === 0 ? undefined : stderr.trim();
}

const installLibrary = [
  'apt-get update -q',
  'DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libatomic1',
].join(' && ');

/**
 * Makes sure that the pinned Node runs here: installs the library that it lacks, as root.
 *
 * @throws with what to do, where it cannot be made to run
 */
export function makeRunnable(node) {
  const fault = faultOf(node);
  if (fault === undefined) return;
  // The kernel reports ENOENT for a binary whose loader is missing.
  if (fault.includes('ENOENT') && existsSync(node)) {
    throw new Error(
      'The pinned Node needs glibc, which this Linux does not have (Alpine, for one, has musl). ' +
        'Run Ephemera on a distribution with glibc, such as Debian.',
    );
  }
  if (!fault.includes('libatomic.so.1')) throw new Error(`The pinned Node does not run: ${fault}`);
  const { status: hasApt } = spawnSync('apt-get', ['--version']);
  if (process.getuid() !== 0 || hasApt !== 0) {
    throw new Error(`Node needs libatomic, which takes root to install. Run:\n\n    ${asRoot()}\n`);
  }
  console.log('Installing libatomic1, which Node needs …');
  const { status, stdout, stderr } = spawnSync('sh', ['-c', installLibrary], { encoding: 'utf8' });
  const left = status === 0 ? faultOf(node) : `${stdout}${stderr}`;
  if (left) throw new Error(`libatomic1 could not be installed:\n${left}`);
}

const asRoot = () => `sudo sh -c '${installLibrary}'`;
