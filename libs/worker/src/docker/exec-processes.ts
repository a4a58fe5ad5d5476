import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ExecSignal } from '@ephemera/domain';
import { limitConcurrency } from '../concurrency-limit.ts';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import type { DockerClient } from './docker-client.ts';
import { runInHelper } from './run-on-host.ts';

// Docker can start a command in a container, but it cannot signal it. Three facts find the processes
// of a command: Docker names its first process; `docker exec` makes that the leader of a session of
// its own (runc calls setsid); and a variable in its environment, which its descendants inherit.

/** The variable that marks the processes of a command. Its value is the id of the command. */
export const EXEC_MARK = 'EPHEMERA_EXEC';

/** In the text of a process list: the mark, and the id of the command. */
const MARKS = new RegExp(`${EXEC_MARK}=([0-9a-f]{26}[a-z][a-z0-9]{25})`, 'g');

/** Searches of processes at once, and lists of processes at once: both cost the host CPU and memory. */
const MAX_SEARCHES = 2;
const MAX_LISTS = 2;
/** Length of a line of a process list. The processes of a container choose its content. */
const LINE_LENGTH = 4_096;
const MARKED_LINE_LENGTH = 32_768;
/** Commands that are reported per container. Any process can write a mark into its arguments. */
const MAX_LISTED = 32;

/** A container is paused: its processes do not end before it is resumed, also after `KILL`. */
export class ContainerPausedError extends Error {
  override readonly name = 'ContainerPausedError';
}

/** Some processes of a container. */
export interface ProcessSearch {
  /** Processes with the marks of these commands, and their descendants. */
  readonly execIds: readonly string[];
  /** Process ids on the host of the first processes of commands. Their sessions belong to them. */
  readonly leaders?: readonly number[];
}

/** The processes of commands. */
export interface ExecProcesses {
  /** Whether this worker can signal processes. False: it is not root and has no helper image. */
  readonly isSupported: boolean;
  /**
   * Sends a signal to every process that is found. `KILL` is repeated until none is left.
   * @returns how many were found at first; NaN if the output of the helper cannot be read
   * @throws ContainerPausedError at once, for `KILL`; Error if some are left
   */
  signal(containerId: string, search: ProcessSearch, signal: ExecSignal): Promise<number>;
  /**
   * Whether processes of a command may be left after its first process has exited.
   * @param leader the process id of the first process on the host
   */
  mayBeLeft(containerId: string, execId: string, leader: number): Promise<boolean>;
  /** The ids of the commands that have processes in a container, at most 32. */
  list(containerId: string): Promise<readonly string[]>;
}

/**
 * Finds and signals processes: in a helper container in the process namespace of the host if there is
 * an image for it, else from this process, which must be root on the host of the daemon.
 */
export function execProcesses(
  docker: DockerClient,
  { namespace, image }: { readonly namespace: string; readonly image: string | undefined },
): ExecProcesses {
  const searchLimit = limitConcurrency(MAX_SEARCHES);
  const listLimit = limitConcurrency(MAX_LISTS);
  const list = (containerId: string, lineLength: number) =>
    listLimit(() => listProcesses(docker, containerId, lineLength));

  return {
    isSupported: image !== undefined || process.getuid?.() === 0,

    signal: (containerId, { execIds, leaders = [] }, signal) =>
      searchLimit(async () => {
        const container = docker.getContainer(containerId);
        const call = withDeadline('inspect', DEFAULT_TIMEOUT_MS, container.inspect());
        const seen = await ignoreStatus([404], call);
        if (seen?.State.Running !== true) return 0;
        // The rounds of the search below would occupy one of the few searches in vain.
        if (signal === 'KILL' && seen.State.Paused) {
          throw new ContainerPausedError('the container is paused');
        }
        const { Id: cgroup, State: state } = seen;
        const script = signalScript({ execIds, leaders, signal, init: state.Pid, cgroup });
        if (image === undefined) {
          const options = { timeout: DEFAULT_TIMEOUT_MS };
          const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script], options);
          return Number.parseInt(stdout, 10);
        }
        const output = await runInHelper(docker, {
          ...{ namespace, image, role: 'exec', networkMode: 'none', script },
          hasHostProcesses: true,
          // To signal processes of any user, and to read their environment.
          capabilities: ['KILL', 'SYS_PTRACE', 'DAC_READ_SEARCH'],
        });
        return Number.parseInt(output, 10);
      }),

    async mayBeLeft(containerId, execId, leader) {
      try {
        const processes = await list(containerId, LINE_LENGTH);
        return processes.some(
          ([, session, line]) =>
            Number(session) === leader ||
            line.includes(`${EXEC_MARK}=${execId}`) ||
            // The mark may be in what was cut.
            line.length > LINE_LENGTH / 2,
        );
      } catch {
        // The container is gone, or `ps` of the host does not know the options.
        return true;
      }
    },

    async list(containerId) {
      const processes = await list(containerId, MARKED_LINE_LENGTH);
      const ids = processes.flatMap(([, , line]) =>
        Array.from(line.matchAll(MARKS), ([, execId = '']) => execId),
      );
      return [...new Set(ids)].slice(0, MAX_LISTED);
    },
  };
}

type ListedProcess = readonly [pid: string, session: string, commandAndEnvironment: string];

/**
 * The processes of a container, with the begin of their arguments and environment. The daemon runs
 * `ps` on its host, which is much faster than a helper.
 * @throws an error of dockerode, if the container does not run or `ps` does not know the options
 */
async function listProcesses(
  docker: DockerClient,
  containerId: string,
  lineLength: number,
): Promise<readonly ListedProcess[]> {
  const options = { ps_args: `axe --cols ${lineLength} -o pid,sid,args` };
  const call = docker.getContainer(containerId).top(options) as Promise<{
    readonly Processes: readonly ListedProcess[];
  }>;
  return (await withDeadline('top', DEFAULT_TIMEOUT_MS, call)).Processes;
}

/** Rounds of SIGKILL: a process may fork between the search and the signal. */
const MAX_ROUNDS = 40;
/** Rounds without a pause. A killed process is found until it has been scheduled once more. */
const QUICK_ROUNDS = 5;

/**
 * A shell script that signals the first process of the command, the processes with a mark, the
 * sessions that they lead or belong to, and all descendants. The session of the first process of the
 * container is spared. It prints the number of processes that it found at first.
 */
function signalScript(search: {
  readonly execIds: readonly string[];
  readonly leaders: readonly number[];
  readonly signal: ExecSignal;
  /** Process id of the first process of the container. */
  readonly init: number;
  /** A text in the cgroup path of every process of the container, and of no other process. */
  readonly cgroup: string;
}): string {
  const { execIds, leaders, signal, init, cgroup } = search;
  return `
find_processes() {
  inside=$(grep -ls '${cgroup}' /proc/[0-9]*/cgroup | tr -dc '0-9\\n' | tr '\\n' ' ')
  files=
  for pid in $inside; do files="$files /proc/$pid/environ"; done
  [ -n "$files" ] || return 0
  marked=$(grep -lszxE '${EXEC_MARK}=(${execIds.join('|')})' $files | tr -dc '0-9\\n' | tr '\\n' ' ')
  { echo "$inside"; echo "$marked"; cat /proc/[0-9]*/stat 2>/dev/null; } | awk -v init=${init} -v leaders="$leaders" '
    NR == 1 { for (i = 1; i <= NF; i++) member[$i] = 1; next }
    NR == 2 { marked = $0; next }
    { pid = $1; rest = $0; sub(/^.*\\) /, "", rest); split(rest, field, " ")
      if (pid in member && field[1] != "Z") { parent[pid] = field[2]; session[pid] = field[4] } }
    END {
      count = split(marked, marks, " ")
      for (i = 1; i <= count; i++) if (marks[i] in parent && marks[i] != init) found[marks[i]] = 1
      count = split(leaders, first, " ")
      for (i = 1; i <= count; i++) if (first[i] in parent && first[i] != init) found[first[i]] = 1
      for (pid in found) if (session[pid] != session[init]) own[session[pid]] = 1
      for (i = 1; i <= count; i++) if (first[i] != session[init]) own[first[i]] = 1
      do {
        changed = 0
        for (pid in parent) {
          if (pid in found || pid == init) continue
          if (parent[pid] in found || session[pid] in own) { found[pid] = 1; changed = 1 }
        }
      } while (changed)
      for (pid in found) print pid
    }'
}
leaders='${leaders.join(' ')}'
round=0
first=
while [ $round -lt ${signal === 'KILL' ? MAX_ROUNDS : 1} ]; do
  found=$(find_processes)
  [ -n "$first" ] || first=$(echo $found | wc -w)
  [ -n "$found" ] || break
  kill -s ${signal} $found 2>/dev/null
  # A child that has just begun another program shows no mark. Its session is that of a killed process.
  leaders="$leaders $found"
  round=$((round + 1))
  [ $round -lt ${QUICK_ROUNDS} ] || sleep 0.1
done
${signal === 'KILL' ? `[ -z "$(find_processes)" ] || { echo 'processes are left' >&2; exit 1; }` : ''}
echo $first
`;
}
