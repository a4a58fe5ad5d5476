import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endProcess } from '@ephemera/test-support';

const run = promisify(execFile);
const docker = async (...args: string[]) => (await run('docker', args)).stdout.trim();

export const workspace = join(import.meta.dirname, '../../../..');

/** Marks the objects of a run on the machine's own Docker daemon, with the process id of the run. */
const LABEL = 'ephemera.matrix';
/** Begins the names of everything that a run makes outside its namespaces. */
const NAME = 'ephemera-matrix';

/** Programs that the tests run from a Debian system instead of from the machine. */
const DAEMONS = ['dockerd', 'containerd'];
const ENGINE_PROGRAMS = ['docker-compose', 'iptables', 'ip6tables'];

export interface SandboxOptions {
  /** The Debian system with the Docker Engine, and the one with the store. */
  readonly systems: { readonly engine: string; readonly store: string };
  /** The program that the tests run as `redis-server`. */
  readonly storeProgram: 'redis-server' | 'valkey-server';
}

/**
 * A machine whose Docker Engine, Compose, iptables and Redis come from Debian systems of the given
 * suites, and everything else from this machine.
 *
 * It has its own network, mount and process namespaces. The kernel ends its processes and removes
 * its mounts when its first process ends, however the run ends.
 */
export interface Sandbox {
  /** A folder with the same path inside. */
  readonly folder: string;
  /** The control group for the containers inside. */
  readonly controlGroup: string;
  /** Runs a program inside; standard input, output and error are those of the child. */
  run(command: readonly string[], onLine: (line: string) => void): Promise<number>;
  /** Ends its processes and removes it, once: a second call waits for the first. */
  stop(): Promise<void>;
}

/**
 * The first process inside. The shell waits for the program instead of becoming it, because the
 * first process of a namespace must reap orphans.
 *
 * /run is empty, so /run/docker.sock is that of the tested engine. Each Debian system is mounted
 * onto itself, because runc needs a mount as the root.
 *
 * The daemons have a mount namespace whose root is their Debian system. In a chroot, a program that
 * `docker exec` starts gets the root of the machine instead of that of its container.
 */
const FIRST_PROCESS = `
set -e
folder=$1 workspace=$2 engine=$3; shift 3
cat /run/systemd/resolve/resolv.conf >"$folder/resolv.conf" 2>/dev/null ||
  cat /etc/resolv.conf >"$folder/resolv.conf"
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
resolver=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$resolver")"
[ -e "$resolver" ] || touch "$resolver"
mount --bind "$folder/resolv.conf" "$resolver"
hostname matrix
while [ "$1" != -- ]; do
  system=$1; shift
  mount --bind "$system" "$system"
  for shared in proc sys dev run; do mount --rbind "/$shared" "$system/$shared"; done
  mount -t tmpfs tmpfs "$system/tmp"
  mkdir -p "$system/etc/docker" "$system$folder" "$system$workspace"
  mount -t tmpfs tmpfs "$system/etc/docker"
  mount --bind "$folder" "$system$folder"
  mount --bind "$workspace" "$system$workspace"
done
shift
unshare --mount sh -c '
set -e
mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
cd "$1"
pivot_root . mnt
cd /
umount -l /mnt
mount --make-shared "$2"
echo $$ >"$2/engine.pid"
exec sleep infinity
' sh "$engine" "$folder" &
holder=$!
until [ -s "$folder/engine.pid" ]; do kill -0 $holder; sleep 0.1; done
# The settings of the caller's shell must not reach the tests.
unset $(env | sed -n 's/^\\(\\(EPHEMERA\\|DOCKER\\)_[A-Z_]*\\)=.*/\\1/p')
export PATH="$folder/bin:$PATH" TMPDIR="$folder"
"$@"
exit $?
`;

/** Runs a program of a Debian system. */
const wrapper = (enter: string, program: string) => `#!/bin/sh
exec ${enter} env -C "$PWD" PATH=/usr/sbin:/usr/bin:/sbin:/bin ${program} "$@"
`;

/**
 * Runs a daemon in the mount namespace of its Debian system, with the /etc/resolv.conf of the caller:
 * some tests start a daemon of their own with resolvers of their own. The mounts of the containers,
 * which are below `folder`, appear in the namespaces of all daemons.
 */
const daemonWrapper = (folder: string, program: string) => `#!/bin/sh
set -e
resolvers=$(mktemp '${folder}/resolv-XXXXXX')
cat /etc/resolv.conf >"$resolvers"
directory=$PWD
cd /
exec nsenter --mount --target "$(cat '${folder}/engine.pid')" \\
  unshare --mount --propagation unchanged sh -c '
mount --bind "$1" /etc/resolv.conf
directory=$2
shift 2
exec env -C "$directory" PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
' sh "$resolvers" "$directory" ${program} "$@"
`;

export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { systems, storeProgram } = options;
  const folder = await mkdtemp(join(tmpdir(), `${NAME}-${process.pid}-`));
  const bin = join(folder, 'bin');
  await mkdir(bin);
  const add = async (name: string, script: string) => {
    await writeFile(join(bin, name), script);
    await chmod(join(bin, name), 0o755);
  };
  const inEngine = `chroot '${systems.engine}'`;
  const inStore = `chroot '${systems.store}'`;
  for (const program of DAEMONS) await add(program, daemonWrapper(folder, program));
  for (const program of ENGINE_PROGRAMS) await add(program, wrapper(inEngine, program));
  await add('redis-server', wrapper(inStore, storeProgram));
  await add('redis-cli', wrapper(inStore, storeProgram.replace('server', 'cli')));

  const children: ChildProcess[] = [];
  let stopped: Promise<unknown> | undefined;
  const network = await startNetwork();
  return {
    folder,
    controlGroup: `${NAME}-${process.pid}`,
    async run(command, onLine) {
      const mounted = [...new Set(Object.values(systems))];
      const child = spawn(
        'nsenter',
        [
          ...[`--net=${network}`, 'unshare', '--mount', '--uts', '--pid', '--fork', '--kill-child'],
          ...['--mount-proc', 'sh', '-c', FIRST_PROCESS, 'sh', folder, workspace],
          ...[systems.engine, ...mounted, '--'],
          ...command,
        ],
        {
          cwd: workspace,
          // A closed standard input ends the program, so that it does not outlive this process.
          stdio: ['pipe', 'pipe', 'inherit'],
          // In its own process group: a signal from the terminal reaches only this process.
          detached: true,
        },
      );
      children.push(child);
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        lines.forEach(onLine);
      });
      return new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)));
    },
    async stop() {
      // The end of `unshare` kills the first process inside, and with it all others.
      const end = () => Promise.all(children.map((child) => endProcess(child, 'SIGKILL')));
      await (stopped ??= end().then(removeLeftovers));
    },
  };
}

/**
 * Starts a container of the machine's Docker daemon that only keeps a network namespace. The daemon
 * connects it to the outside, which the build of images needs.
 * @returns the path of the namespace
 */
async function startNetwork(): Promise<string> {
  const name = `${NAME}-${process.pid}`;
  const label = `${LABEL}=${process.pid}`;
  await docker('network', 'create', '--label', label, name);
  const keep = ['--network', name, '--entrypoint', 'sleep', 'ephemera/busybox:local', '1000000'];
  const id = await docker('run', '-d', '--name', name, '--label', label, ...keep);
  const pid = await docker('inspect', '--format', '{{.State.Pid}}', id);
  return `/proc/${pid}/ns/net`;
}

/**
 * Removes from the machine what this run has made, and what runs have made that were killed.
 * @returns what it removed
 */
export async function removeLeftovers(): Promise<string[]> {
  const removed: string[] = [];
  const remove = async (what: string, owner: number, work: () => Promise<unknown>) => {
    if (owner !== process.pid && existsSync(`/proc/${owner}`)) return;
    await work();
    removed.push(what);
  };
  const owned = async (...list: string[]) => {
    const format = `{{.ID}} {{.Label "${LABEL}"}}`;
    const lines = await docker(...list, '--filter', `label=${LABEL}`, '--format', format);
    return lines
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' '));
  };
  for (const [id = '', owner] of await owned('ps', '-a')) {
    await remove(`container ${id}`, Number(owner), () => docker('rm', '-f', id));
  }
  for (const [id = '', owner] of await owned('network', 'ls')) {
    await remove(`network ${id}`, Number(owner), () => docker('network', 'rm', id));
  }
  const ownerOf = (name: string) => Number(name.slice(NAME.length + 1).split('-')[0]);
  for (const name of (await readdir(tmpdir())).filter((item) => item.startsWith(`${NAME}-`))) {
    const path = join(tmpdir(), name);
    const retries = { maxRetries: 20, retryDelay: 100 };
    await remove(path, ownerOf(name), () => rm(path, { recursive: true, force: true, ...retries }));
  }
  // Version 1 has a tree for each controller, version 2 has one.
  const places = [
    '/sys/fs/cgroup',
    ...(await readdir('/sys/fs/cgroup')).map((name) => `/sys/fs/cgroup/${name}`),
  ];
  for (const place of places) {
    const names = await readdir(place).catch(() => []);
    for (const name of names.filter((item) => item.startsWith(`${NAME}-`))) {
      const path = join(place, name);
      const emptied = ['-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'];
      await remove(path, ownerOf(name), () => run('find', [path, ...emptied]));
    }
  }
  return removed;
}
