import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXEC_WORKER_LENGTH, isDead, newId } from '@ephemera/domain';
import type { ExecSignal, Instance } from '@ephemera/domain';
import { execPermissionOf } from '@ephemera/lifecycle';
import type {
  ExecInput,
  ExecOffsets,
  ExecRefusal,
  ExecRequest,
  ExecResult,
  ExecStatus,
  Instances,
} from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import { daemonMessage, statusOf } from '../docker/docker-client.ts';
import { ContainerPausedError } from '../docker/exec-processes.ts';
import type { ExecProcesses } from '../docker/exec-processes.ts';
import type { StartedCommand } from '../docker/run-command.ts';
import { Command } from './command.ts';
import type { ExecTarget } from './command.ts';
import {
  END_REASON_MS,
  KILL_PAUSE_MS,
  KILL_TIMEOUT_MS,
  KEPT_MS,
  MAX_HOST_INPUT_BYTES,
  MAX_KEPT_BYTES,
  MAX_KEPT_PER_INSTANCE,
  MAX_RUNNING_PER_HOST,
  MAX_RUNNING_PER_INSTANCE,
} from './limits.ts';

type Use = 'exec' | 'files';

export interface ExecPorts {
  /** The id of the running container of an instance on this host. */
  readonly containerOf: (target: ExecTarget) => Promise<string | undefined>;
  readonly run: (
    containerId: string,
    execId: string,
    request: ExecRequest,
  ) => Promise<StartedCommand>;
  readonly processes: ExecProcesses;
  readonly instances: Pick<Instances, 'get'>;
  /** Emits the event if the instance is ready under this generation; else false. */
  readonly recordUse: (target: ExecTarget, type: Use) => Promise<boolean>;
  /** SHA-256 of the certificate of this worker, by which proxies find the worker of a command. */
  readonly fingerprint: string;
  readonly logger: Logger;
}

/** Runs commands in the instances of a host. */
export interface ExecEngine {
  /** Starts a command. Its first processes exist when the promise resolves. */
  start(target: ExecTarget, request: ExecRequest): Promise<ExecResult<Command>>;
  /**
   * Starts a file operation as the user of the container. It counts and ends as a command does, but
   * clients cannot find it. @param event undefined for one that changes nothing
   */
  startFiles(
    target: ExecTarget,
    cmd: readonly string[],
    event: 'files' | undefined,
  ): Promise<ExecResult<Command>>;
  find(target: ExecTarget, execId: string): ExecResult<Command | 'lost'>;
  status(command: Command | 'lost', execId: string, offsets: ExecOffsets): ExecStatus;
  resize(command: Command, columns: number, rows: number): Promise<ExecResult<null>>;
  /** Writes to the standard input. Refuses if too many bytes wait for the commands of the host. */
  write(command: Command, input: ExecInput): Promise<ExecResult<null>>;
  /** Signals every process of a command. `KILL` returns once none is left. */
  kill(command: Command, signal: ExecSignal): Promise<ExecResult<null>>;
  /** Starts no more commands, and kills all that run, those of a container together. */
  stop(): Promise<void>;
}

/**
 * The commands live in this process. Their ids begin with the fingerprint of its certificate, which
 * is new at every start. So a command of an earlier process is recognized. Nothing can attach to it
 * again: it is lost.
 */
export function createExecEngine(ports: ExecPorts): ExecEngine {
  const { containerOf, run, processes, instances, recordUse, logger } = ports;
  const workerId = ports.fingerprint.slice(0, EXEC_WORKER_LENGTH);
  const commands = new Map<string, Command>();
  /** Starts that Docker has not answered, by instance. They count as running. */
  const starting = new Map<string, number>();
  const starts = new Set<Promise<unknown>>();
  /** File operations. */
  const hidden = new WeakSet<Command>();
  let isStopping = false;

  const runningOf = (id?: string): number => {
    let count = 0;
    for (const [of, starts] of starting) if (id === undefined || of === id) count += starts;
    for (const command of commands.values()) {
      if (command.isRunning && (id === undefined || command.target.id === id)) count++;
    }
    return count;
  };

  const hasCapacityForInput = (): boolean => {
    let bytes = 0;
    for (const command of commands.values())
      if (command.isRunning) bytes += command.waitingInputBytes;
    return bytes < MAX_HOST_INPUT_BYTES;
  };

  /** Drops ended commands, the oldest ones first. */
  const prune = (): void => {
    const kept = new Map<string, number>();
    let bytes = 0;
    const ended = [...commands].filter(([, command]) => !command.isRunning);
    ended.sort(([, a], [, b]) => (b.endedAt ?? 0) - (a.endedAt ?? 0));
    for (const [execId, command] of ended) {
      const count = (kept.get(command.target.id) ?? 0) + 1;
      kept.set(command.target.id, count);
      bytes += command.storedBytes;
      const isOld = performance.now() - (command.endedAt ?? 0) > KEPT_MS;
      if (isOld || count > MAX_KEPT_PER_INSTANCE || bytes > MAX_KEPT_BYTES) commands.delete(execId);
    }
  };

  return {
    start: (target, request) => startUnlessStopping(target, request, { event: 'exec' }),

    startFiles(target, cmd, event) {
      const request = { cmd, cwd: '/', env: {}, stdin: '', keepStdin: true, tty: false };
      return startUnlessStopping(target, request, { event, isHidden: true });
    },

    find({ id, generation }, execId) {
      const known = commands.get(execId);
      const command = known && !hidden.has(known) ? known : undefined;
      if (command?.target.id === id && command.target.generation === generation) {
        return { kind: 'done', value: command };
      }
      return execId.startsWith(workerId) ? refused('unknown') : { kind: 'done', value: 'lost' };
    },

    status(command, execId, offsets) {
      if (command !== 'lost') return command.status(offsets);
      const nothing = { offset: 0, data: '', total: 0 };
      return { state: 'lost', execId, stdout: nothing, stderr: nothing };
    },

    async resize(command, columns, rows) {
      if (!command.isRunning) return refused('ended');
      if (!command.request.tty) return refused('no_tty');
      await command.resize(columns, rows);
      return { kind: 'done', value: null };
    },

    write(command, input) {
      return hasCapacityForInput() ? command.write(input) : Promise.resolve(refused('busy'));
    },

    async kill(command, signal) {
      if (!command.isRunning) return refused('ended');
      // A frozen process does not end.
      if ((await instances.get(command.target.id))?.state === 'paused') return refused('paused');
      if (signal === 'KILL') await command.kill('request');
      else await command.signal(signal);
      return { kind: 'done', value: null };
    },

    async stop() {
      isStopping = true;
      await Promise.allSettled(starts);
      await killAll([...commands.values()].filter(({ isRunning }) => isRunning));
    },
  };

  function startUnlessStopping(...args: Parameters<typeof start>): Promise<ExecResult<Command>> {
    if (isStopping) return Promise.resolve(refused('stopping'));
    const started = start(...args);
    starts.add(started);
    const forget = (): unknown => starts.delete(started);
    started.then(forget, forget);
    return started;
  }

  async function start(
    target: ExecTarget,
    request: ExecRequest,
    { event, isHidden = false }: { readonly event: Use | undefined; readonly isHidden?: boolean },
  ): Promise<ExecResult<Command>> {
    const { id, generation } = target;
    const instance = await instances.get(id);
    const refusal = whyRefused(instance, generation);
    if (refusal) return refused(refusal);
    if (!processes.isSupported) {
      return refused(
        'unsupported',
        'The worker can end no commands: run it as root, or set EPHEMERA_FIREWALL_IMAGE.',
      );
    }
    const isFull = runningOf(id) >= MAX_RUNNING_PER_INSTANCE || runningOf() >= MAX_RUNNING_PER_HOST;
    if (isFull || !hasCapacityForInput()) return refused('full');
    starting.set(id, (starting.get(id) ?? 0) + 1);
    try {
      const containerId = await containerOf(target);
      if (containerId === undefined) return refused('gone');
      // The last check, in one step with the event: the instance may have ended meanwhile.
      if (event !== undefined && !(await recordUse(target, event))) {
        return refused(whyRefused(await instances.get(id), generation) ?? 'gone');
      }
      const execId = `${workerId}${newId(randomBytes)}`;
      const started = await run(containerId, execId, request);
      // A slow client gets the whole of a file. The file operation ends a reader that has stalled.
      const limits = isHidden ? { lastOutputLimitMs: Infinity } : {};
      const parts = { execId, target, containerId, request, started, processes };
      const command = new Command({ ...parts, ...limits });
      commands.set(execId, command);
      if (isHidden) hidden.add(command);
      prune();
      watch(command);
      return { kind: 'done', value: command };
    } catch (error) {
      const status = statusOf(error);
      if (status === 404) return refused('gone');
      if (status === 409) {
        return refused(whyRefused(await instances.get(id), generation) ?? 'gone');
      }
      if (status === 400 || /OCI runtime|unable to find/i.test(daemonMessage(error))) {
        return refused('invalid', daemonMessage(error));
      }
      throw error;
    } finally {
      const left = (starting.get(id) ?? 1) - 1;
      if (left === 0) starting.delete(id);
      else starting.set(id, left);
    }
  }

  /** Searches a container for all its commands at once: a search is costly, and the time to stop is limited. */
  async function killAll(running: readonly Command[]): Promise<void> {
    for (const command of running) command.expectKill('worker_stopped');
    const inContainers = Map.groupBy(running, ({ containerId }) => containerId);
    const kills = Array.from(inContainers, async ([containerId, group]) => {
      const execIds = group.map(({ execId }) => execId);
      const deadline = performance.now() + KILL_TIMEOUT_MS;
      // Docker may still be starting some: a search does not find them, or fails because they appear.
      for (let pause = KILL_PAUSE_MS; ; pause *= 2) {
        const pids = await Promise.all(group.map((command) => command.leader()));
        const leaders = pids.filter((pid): pid is number => pid !== undefined && pid !== 0);
        const failure = await processes.signal(containerId, { execIds, leaders }, 'KILL').then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure instanceof ContainerPausedError) throw failure;
        const areAlive = await Promise.all(group.map((command) => command.isInDocker()));
        if (failure === undefined && !areAlive.includes(true)) return;
        if (performance.now() > deadline) {
          throw new Error('commands still run after SIGKILL', { cause: failure });
        }
        await sleep(pause);
      }
    });
    for (const kill of await Promise.allSettled(kills)) {
      if (kill.status === 'rejected') {
        logger.warn({ err: kill.reason as Error }, 'processes of commands not killed');
      }
    }
    for (const command of running) command.close();
  }

  /** Waits for the end of a command, and kills what it leaves behind. */
  function watch(command: Command): void {
    const { execId, target } = command;
    const fields = { id: target.id, generation: target.generation, execId };
    let hasFailed = false;
    const onError = (error: unknown): void => {
      // It is tried every second, perhaps for as long as the instance is paused.
      if (!hasFailed) logger.warn({ err: error, ...fields }, 'command not ended; trying again');
      hasFailed = true;
    };
    command
      .waitForExit(onError)
      .then(async (exit) => {
        const reason = isDeath(exit) ? await endOf(target) : undefined;
        command.finish(exit, reason);
        if (hidden.has(command)) commands.delete(execId);
        else logger.info({ ...fields, ...command.state }, 'command ended');
      })
      .catch((error: unknown) => logger.error({ err: error, ...fields }, 'command not watched'));
  }

  /** Why the instance ended, if it did: then its end has killed the command. */
  async function endOf({ id, generation }: ExecTarget) {
    const deadline = performance.now() + END_REASON_MS;
    for (;;) {
      const instance = await instances.get(id).catch(() => undefined);
      const isOver = instance && (isDead(instance.state) || instance.state === 'draining');
      if (isOver) return instance.reason ?? 'request';
      const containerId = await containerOf({ id, generation }).catch(() => undefined);
      // The container runs: the command was killed alone. Else its exit is about to be recorded.
      if (containerId !== undefined || performance.now() > deadline) return undefined;
      await sleep(100);
    }
  }
}

/**
 * Whether the end of the container may have ended the command: by a signal, before it was started
 * (126), or with the container.
 */
function isDeath(exit: { readonly exitCode: number } | undefined): boolean {
  return exit === undefined || exit.exitCode >= 126 || exit.exitCode < 0;
}

function whyRefused(instance: Instance | undefined, generation: number): ExecRefusal | undefined {
  if (!instance || isDead(instance.state) || instance.state === 'draining') return 'gone';
  if (execPermissionOf(instance.template) === 'off') return 'off';
  if (instance.state === 'paused') return 'paused';
  if (instance.state !== 'ready') return 'not_ready';
  return instance.generation === generation ? undefined : 'gone';
}

function refused(why: ExecRefusal, detail?: string) {
  return { kind: 'refused', why, detail } as const;
}
