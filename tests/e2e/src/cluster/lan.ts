import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

// Machines as network namespaces, on one Ethernet segment. Everything is named after the LAN, so that a
// later process can remove what a killed one has left.

const run = promisify(execFile);

/** A machine of a LAN. */
export interface Machine {
  readonly name: string;
  readonly address: string;
  /** Starts a program there. */
  spawn(...command: string[]): ChildProcess;
  /** Runs a shell script there. Returns its output. */
  says(script: string): Promise<string>;
}

export interface Lan {
  /** Files of the machines. Removed with the LAN. */
  readonly folder: string;
  /** The address of this Linux machine on it. */
  readonly outside: string;
  addMachine(name: string): Promise<Machine>;
}

/** No name of a cluster contains the last character, so none is the beginning of another prefix. */
const prefixOf = (name: string) => `ephc-${name}_`;

const digestOf = (name: string) => createHash('sha256').update(name).digest();

/** A name of an interface has at most 15 characters. */
const cableOf = (name: string) => `ephc${digestOf(name).toString('hex', 0, 4)}`;

/** The first three numbers of all addresses (RFC 2544: for tests of network devices). */
const networkOf = (name: string) => `198.18.${digestOf(name).at(0)}`;

const folderOf = (name: string) => join(tmpdir(), `ephemera-cluster-${name}`);

async function namespacesOf(name: string): Promise<string[]> {
  const { stdout } = await run('ip', ['-json', 'netns', 'list']);
  const all = JSON.parse(stdout.trim() || '[]') as { name: string }[];
  return all.map((it) => it.name).filter((it) => it.startsWith(prefixOf(name)));
}

/** Whether there is a LAN of this name, or what is left of one. */
export async function lanExists(name: string): Promise<boolean> {
  return (await namespacesOf(name)).length > 0;
}

/** Creates an empty LAN, to which this Linux machine is connected too. Needs root. */
export async function createLan(name: string): Promise<Lan> {
  const lan = `${prefixOf(name)}lan`;
  const cable = cableOf(name);
  const outside = `${networkOf(name)}.1`;
  let machines = 0;
  await run('ip', ['netns', 'add', lan]);
  await shell(
    `ip -n ${lan} link add name lan type bridge && ip -n ${lan} link set lan up &&
    ip link add ${cable} type veth peer name outside netns ${lan} &&
    ip -n ${lan} link set outside master lan up &&
    ip address add ${outside}/24 dev ${cable} && ip link set ${cable} up`,
  );
  return {
    folder: folderOf(name),
    outside,
    async addMachine(machineName) {
      const namespace = prefixOf(name) + machineName;
      const address = `${networkOf(name)}.${++machines + 1}`;
      await run('ip', ['netns', 'add', namespace]);
      await shell(
        `ip -n ${lan} link add m${machines} type veth peer name lan0 netns ${namespace} &&
        ip -n ${lan} link set m${machines} master lan up && ip -n ${namespace} link set lo up &&
        ip -n ${namespace} address add ${address}/24 dev lan0 && ip -n ${namespace} link set lan0 up`,
      );
      const holder = await holdMounts(namespace);
      // Not `ip netns exec`, which hides the mounts of the control groups from the daemon.
      const inside = ['--target', String(holder.pid), '--net', '--mount'];
      return {
        name: machineName,
        address,
        spawn: (...command) =>
          spawn('nsenter', [...inside, ...command], {
            stdio: ['ignore', 'pipe', 'pipe'],
            ...UNSIGNALLED,
          }),
        says: async (script) =>
          (await run('nsenter', [...inside, '/bin/sh', '-c', script], { timeout: 30_000 })).stdout,
      };
    },
  };
}

/**
 * Kills every process in the namespaces of a LAN, and removes the namespaces, the links and the
 * files. Succeeds if there is nothing.
 */
export async function removeLan(name: string): Promise<void> {
  for (const namespace of await namespacesOf(name)) {
    // The processes of a container are in a network namespace of their own, below their shim.
    await shell(
      `while pids=$(ip netns pids ${namespace}) && [ -n "$pids" ]; do
        for pid in $pids; do pkill -KILL -P $pid; kill -KILL $pid; done 2>/dev/null
        sleep 0.1
      done
      ip netns del ${namespace}`,
    );
  }
  await run('ip', ['link', 'del', cableOf(name)]).catch(() => undefined);
  await shell(
    `find /sys/fs/cgroup -depth -type d -path '*/${prefixOf(name)}*' -exec rmdir {} + || true`,
  );
  await rm(folderOf(name), { recursive: true, force: true });
}

/** Ctrl-C in the terminal must reach the caller only, which stops the programs in order. */
const UNSIGNALLED = { detached: true };

/**
 * Starts a process that keeps a mount namespace for a machine, so that the mounts of its daemon vanish
 * with its processes. It exits when this process does, however that ends.
 */
async function holdMounts(namespace: string): Promise<ChildProcess> {
  const hold = ['unshare', '--mount', 'sh', '-c', 'echo held && exec cat >/dev/null'];
  const child = spawn('nsenter', [`--net=/var/run/netns/${namespace}`, ...hold], {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...UNSIGNALLED,
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error(`the machine ${namespace} could not be created`)));
  });
  return child;
}

async function shell(script: string): Promise<string> {
  return (await run('/bin/sh', ['-c', script], { timeout: 60_000 })).stdout;
}
