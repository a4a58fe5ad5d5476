import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A separate Debian root in which the nodejs and npm packages of Debian run. Needs root privileges
 * and debootstrap.
 *
 * Every command runs in its own mount and process namespaces, which end with it.
 */

const SUITE = 'bookworm';
const PACKAGES = ['nodejs', 'npm', 'ca-certificates'];

/**
 * The mirror that this machine's apt uses for Debian, if it uses one.
 *
 * @param {string} targets lines `ORIGIN|LABEL|REPO_URI`, as `apt-get indextargets` prints them
 * @returns {string | undefined} undefined: debootstrap takes its default
 */
export function debianMirror(targets) {
  const lines = targets.split('\n').map((line) => line.split('|'));
  return lines.find(([origin, label]) => origin === 'Debian' && label === 'Debian')?.[2];
}

/**
 * Why this machine cannot make a Debian root, after an attempt to install debootstrap.
 *
 * @param {(command: string[]) => Promise<unknown>} run rejects if the command fails
 * @returns {Promise<string | undefined>}
 */
export async function missingForDebian(run) {
  if (process.getuid() !== 0) return 'it needs root; repeat the check as root';
  const has = (program) => run(['sh', '-c', `command -v ${program}`]).then(...asBoolean);
  if (await has('debootstrap')) return undefined;
  if (!(await has('apt-get'))) return 'debootstrap is missing; install it';
  const install =
    'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap';
  return run(['sh', '-c', install]).then(
    () => undefined,
    (error) => `debootstrap could not be installed: ${error.message}`,
  );
}
const asBoolean = [() => true, () => false];

/**
 * Creates the root. apt installs the packages of npm, because debootstrap configures them in an
 * order that fails.
 *
 * @param {string} root folder that does not exist yet
 * @param {(command: string[]) => Promise<string>} run resolves to the standard output
 */
export async function makeDebianRoot(root, run) {
  const format = '$(ORIGIN)|$(LABEL)|$(REPO_URI)';
  const mirror = debianMirror(await run(['apt-get', 'indextargets', '--format', format]));
  const debootstrap = ['debootstrap', '--variant=minbase', SUITE, root];
  await run(['unshare', '--mount', ...debootstrap, ...(mirror ? [mirror] : [])]);
  for (const file of ['resolv.conf', 'hosts']) {
    if (existsSync(`/etc/${file}`)) copyFileSync(`/etc/${file}`, join(root, 'etc', file));
  }
  const apt = 'apt-get install -y -q --no-install-recommends';
  const script = `export DEBIAN_FRONTEND=noninteractive; apt-get update -q && ${apt} ${PACKAGES.join(' ')}`;
  await run(inDebianRoot(root, [], ['sh', '-c', script]));
}

/**
 * The command line that runs `command` in the root.
 *
 * @param {string[]} shared folders of the machine that have the same path in the root
 * @param {{isOffline?: boolean}} [options] offline: without any network interface
 */
export function inDebianRoot(root, shared, command, { isOffline = false } = {}) {
  for (const folder of shared) mkdirSync(join(root, folder), { recursive: true });
  const mounts = shared.map((folder) => `mount --bind '${folder}' '${root}${folder}'`);
  const script = [...mounts, `exec chroot '${root}' "$@"`].join(' && ');
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', `--mount-proc=${root}/proc`];
  if (isOffline) namespaces.push('--net');
  return ['unshare', ...namespaces, 'sh', '-c', script, 'sh', ...command];
}

/** Removes the root. Refuses while something is mounted in it, which would be removed too. */
export function removeDebianRoot(root) {
  const mounted = readFileSync('/proc/self/mounts', 'utf8').includes(` ${root}/`);
  if (mounted) throw new Error(`${root} still has mounts; unmount them and remove it by hand.`);
  rmSync(root, { recursive: true, force: true });
}
