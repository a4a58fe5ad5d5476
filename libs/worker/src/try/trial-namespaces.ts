import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { WorkerConfig } from '../create-worker.ts';
import { withDeadline } from '../docker/docker-client.ts';
import type { DockerClient as Docker } from '../docker/docker-client.ts';
import { LABEL } from '../docker/labels.ts';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { removeSince } from '../remove-since.ts';
import { NOTHING } from '../snapshot.ts';

/** The id of the host in the labels of the containers of a trial. */
export const TRIAL_HOST = 'try';

type TrialConfig = Pick<WorkerConfig, 'namespace' | 'firewall' | 'firewallImage'>;

/** In the names of the namespaces of trials, followed by a {@link processKey}. */
const INFIX = '-try-';

/** The namespace of the trial of this process, in which nothing else is. */
export async function trialNamespace(namespace: string): Promise<string> {
  return `${namespace}${INFIX}${await processKey(process.pid)}`;
}

/** The namespaces of trials that run, or were killed before they could remove their containers. */
export async function trialNamespaces(docker: Docker, namespace: string): Promise<string[]> {
  const filters = { label: [LABEL.namespace] };
  const found = await Promise.all([
    withDeadline('list', DEFAULT_TIMEOUT_MS, docker.listContainers({ all: true, filters })),
    withDeadline('networks', DEFAULT_TIMEOUT_MS, docker.listNetworks({ filters })),
  ]);
  const names = found.flat().map(({ Labels }) => Labels?.[LABEL.namespace] ?? '');
  return [...new Set(names)].filter((name) => name.startsWith(`${namespace}${INFIX}`));
}

/** Removes everything of the namespace of a trial. */
export async function removeTrial(
  docker: Docker,
  config: TrialConfig,
  onProgress: (text: string) => void,
): Promise<void> {
  const removal = {
    docker,
    config,
    host: TRIAL_HOST,
    store: undefined,
    before: NOTHING,
    keep: false,
  };
  const { problems, remaining } = await removeSince(removal, 0);
  for (const text of problems) onProgress(text);
  if (remaining.before.length + remaining.kept.length > 0) {
    onProgress('Containers remain. Remove them with: ephemera clean');
  }
}

/** Removes what trials of this machine have left that were killed. */
export async function removeEndedTrials(
  docker: Docker,
  config: TrialConfig,
  onProgress: (text: string) => void,
): Promise<void> {
  const own = `${config.namespace}${INFIX}`;
  for (const namespace of await trialNamespaces(docker, config.namespace)) {
    if (!(await hasEnded(namespace.slice(own.length)))) continue;
    onProgress(`removing what the killed trial ${namespace} has left`);
    await removeTrial(docker, { ...config, namespace }, onProgress);
  }
}

/**
 * A text that no other process has: the machine, the process id and the start time of the process.
 * Unlike a process id alone, it does not come back after a restart.
 */
async function processKey(pid: number): Promise<string> {
  const pids = await readlink('/proc/self/ns/pid');
  const machine = createHash('sha256').update(`${hostname()} ${pids}`).digest('hex').slice(0, 8);
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name of the program, in parentheses, may contain spaces. The start time is field 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // A zombie has ended, although nobody has waited for it.
  const startTime = fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  return `${machine}-${pid}-${startTime}`;
}

/** Whether a process of this machine has ended. Of another machine, nothing is known. */
async function hasEnded(key: string): Promise<boolean> {
  const [machine = '', pid = '', startTime = ''] = key.split('-');
  const current = await processKey(Number(pid));
  if (!current.startsWith(`${machine}-${pid}-`)) return false;
  const isReadable = current !== `${machine}-${pid}-`;
  // Where /proc hides the processes of other users, a signal still tells whether one exists.
  return isReadable ? current !== `${machine}-${pid}-${startTime}` : !exists(Number(pid));
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
