import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ExecSignal } from '@ephemera/domain';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import type { DockerClient } from './docker-client.ts';
import { runInHelper } from './run-on-host.ts';

// Docker can start a command in a container, but it cannot signal it. So each command gets a
// variable in its environment, which its descendants inherit. `docker exec` also makes each command
// the leader of a session of its own (runc calls setsid). Both together find its processes.

/** The variable that marks the processes of a command. Its value is the id of the command. */
export const EXEC_MARK = 'EPHEMERA_EXEC';

/** In the text of a process list: the mark, and the id of the command. */
const MARKS = new RegExp(`${EXEC_MARK}=([0-9a-f]{26}[a-z][a-z0-9]{25})`, 'g');

/** The processes of commands. */
export interface ExecProcesses {
  /** Whether this worker can signal processes. False: it is not root and has no helper image. */
  readonly isSupported: boolean;
  /**
   * Sends a signal to every process of a command. `KILL` is repeated until none is left.
   * @throws Error if some are left
   */
  signal(containerId: string, execId: string, signal: ExecSignal): Promise<void>;
  /**
   * Whether processes of a command may be left after its first process has exited.
   * @param leader the process id of the first process on the host
   */
  mayBeLeft(containerId: string, execId: string, leader: number): Promise<boolean>;
  /** The ids of the commands that have processes in a container. */
  list(containerId: string): Promise<readonly string[]>;
}

/**
 * Finds and signals processes: in a helper container in the process namespace of the instance if
 * there is an image for it, else from this process, which must be root on the host of the daemon.
 */
export function execProcesses(
  docker: DockerClient,
  { namespace, image }: { readonly namespace: string; readonly image: string | undefined },
): ExecProcesses {
  return {
    isSupported: image !== undefined || process.getuid?.() === 0,

    async signal(containerId, execId, signal) {
      const container = docker.getContainer(containerId);
      const call = withDeadline('inspect', DEFAULT_TIMEOUT_MS, container.inspect());
      const seen = await ignoreStatus([404], call);
      if (seen?.State.Running !== true) return;
      if (image === undefined) {
        const script = signalScript({ execId, signal, init: seen.State.Pid, cgroup: seen.Id });
        await promisify(execFile)('/bin/sh', ['-c', script], { timeout: DEFAULT_TIMEOUT_MS });
        return;
      }
      await runInHelper(docker, {
        ...{ namespace, image, role: 'exec', networkMode: 'none', processesOf: seen.Id },
        script: signalScript({ execId, signal, init: 1, cgroup: undefined }),
        // To signal processes of any user, and to read their environment.
        capabilities: ['KILL', 'SYS_PTRACE', 'DAC_READ_SEARCH'],
      });
    },

    async mayBeLeft(containerId, execId, leader) {
      try {
        const processes = await listProcesses(docker, containerId);
        return processes.some(
          ([, session, line]) =>
            Number(session) === leader || line.includes(`${EXEC_MARK}=${execId}`),
        );
      } catch {
        // The container is gone, or `ps` of the host does not know the options.
        return true;
      }
    },

    async list(containerId) {
      const processes = await listProcesses(docker, containerId);
      const ids = processes.flatMap(([, , line]) =>
        Array.from(line.matchAll(MARKS), ([, execId = '']) => execId),
      );
      return [...new Set(ids)];
    },
  };
}

type ListedProcess = readonly [pid: string, session: string, commandAndEnvironment: string];

/**
 * The processes of a container, with their environment. The daemon runs `ps` on its host, which is
 * much faster than a helper.
 * @throws an error of dockerode, if the container does not run or `ps` does not know the options
 */
async function listProcesses(
  docker: DockerClient,
  containerId: string,
): Promise<readonly ListedProcess[]> {
  const options = { ps_args: 'axeww -o pid,sid,args' };
  const call = docker.getContainer(containerId).top(options) as Promise<{
    readonly Processes: readonly ListedProcess[];
  }>;
  return (await withDeadline('top', DEFAULT_TIMEOUT_MS, call)).Processes;
}

/** Rounds of SIGKILL: a process may fork between the search and the signal. */
const MAX_ROUNDS = 20;

/**
 * A shell script that signals the processes with the mark, the sessions that they lead or belong to,
 * and all descendants. The session of the first process of the container is spared.
 */
function signalScript(search: {
  readonly execId: string;
  readonly signal: ExecSignal;
  /** Process id of the first process of the container. */
  readonly init: number;
  /** A text in the cgroup path of every process of the container. Undefined: only they are visible. */
  readonly cgroup: string | undefined;
}): string {
  const { execId, signal, init, cgroup } = search;
  const isInside =
    cgroup === undefined ? '' : `grep -q '${cgroup}' "/proc/$pid/cgroup" 2>/dev/null || continue`;
  return `
find_processes() {
  marked=$(grep -lzx '${EXEC_MARK}=${execId}' /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\\n' | tr '\\n' ' ')
  [ -n "$marked" ] || return 0
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v marked="$marked" -v init=${init} '
    { pid = $1; rest = $0; sub(/^.*\\) /, "", rest); split(rest, field, " ")
      if (field[1] != "Z") { parent[pid] = field[2]; session[pid] = field[4] } }
    END {
      count = split(marked, marks, " ")
      for (i = 1; i <= count; i++) if (marks[i] in parent && marks[i] != init) found[marks[i]] = 1
      for (pid in found) if (session[pid] != session[init]) own[session[pid]] = 1
      do {
        changed = 0
        for (pid in parent) {
          if (pid in found || pid == init) continue
          if (parent[pid] in found || session[pid] in own) { found[pid] = 1; changed = 1 }
        }
      } while (changed)
      for (pid in found) print pid
    }' | while read -r pid; do
      ${isInside}
      echo "$pid"
    done
}
round=0
while [ $round -lt ${signal === 'KILL' ? MAX_ROUNDS : 1} ]; do
  found=$(find_processes)
  [ -n "$found" ] || exit 0
  kill -s ${signal} $found 2>/dev/null
  round=$((round + 1))
done
${signal === 'KILL' ? `[ -z "$(find_processes)" ] || { echo 'processes are left' >&2; exit 1; }` : 'exit 0'}
`;
}
