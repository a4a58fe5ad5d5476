import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

import { BootError } from '@ephemera/domain';
import type { OnProgress } from '../terminal/reporter.ts';
import { describeEndpoint, pingDocker } from './docker-endpoint.ts';
import type { DockerEndpoint } from './docker-endpoint.ts';
import { findProgram } from './find-program.ts';
import { lastLines } from './error-lines.ts';
import { runCommand } from './run-command.ts';
import { hasServiceManager } from './service-manager.ts';
import { waitUntil } from './wait-until.ts';

const readyTimeoutMs = 60_000;

/** A dockerd that this process started. */
export interface DockerDaemon {
  readonly pid: number | undefined;
  /** Sends SIGTERM, and waits until it has stopped. */
  stop(): Promise<void>;
  /** Sends SIGTERM without waiting. */
  terminate(): void;
  /** Lets it run after this process ends. */
  leave(): void;
}

export interface StartDockerOptions {
  readonly logFile: string;
  readonly stop: AbortSignal;
  /** Called as soon as dockerd was spawned; not called for a service. */
  readonly onStarted?: ((daemon: DockerDaemon) => void) | undefined;
}

/**
 * Starts the installed Docker Engine: as a service, or in the background if no service manager
 * runs.
 */
export async function startDocker(
  endpoint: DockerEndpoint,
  { logFile, stop, onStarted }: StartDockerOptions,
  onProgress: OnProgress,
): Promise<string> {
  if (process.getuid?.() !== 0) {
    const start = hasServiceManager() ? 'systemctl start docker' : 'dockerd';
    throw new BootError(
      `Docker is installed but not running, and starting it requires root. Run:\n\n    sudo ${start}\n`,
    );
  }
  let hasEnded = () => false;
  if (hasServiceManager()) {
    onProgress('systemctl start docker');
    await runCommand('systemctl', ['start', 'docker']);
  } else {
    onProgress('starting dockerd in the background');
    const { daemon, ended } = startDaemon(logFile);
    hasEnded = ended;
    onStarted?.(daemon);
  }
  let engine: string | undefined;
  const up = await waitUntil(
    async () => {
      const ended = hasEnded();
      const answer = await pingDocker(endpoint);
      if (answer.kind === 'running') engine = answer.engine;
      return engine !== undefined || ended;
    },
    readyTimeoutMs,
    stop,
  );
  if (up && engine !== undefined) return engine;
  throw new BootError(
    `dockerd does not answer at ${describeEndpoint(endpoint)}. The end of ${logFile}:\n` +
      lastLines(logFile),
  );
}

/** Spawns dockerd in its own session, so that Ctrl-C does not reach it. */
function startDaemon(logFile: string): { daemon: DockerDaemon; ended: () => boolean } {
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(findProgram('dockerd') ?? 'dockerd', [], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended = false;
  let isLeft = false;
  const exit = new Promise<void>((resolve) => {
    const end = () => {
      ended = true;
      resolve();
    };
    child.once('error', end);
    child.once('exit', end);
  });
  child.unref();
  const terminate = () => {
    if (!ended && !isLeft) child.kill('SIGTERM');
  };
  const daemon: DockerDaemon = {
    pid: child.pid,
    terminate,
    async stop() {
      terminate();
      child.ref();
      await exit;
    },
    leave() {
      isLeft = true;
    },
  };
  return { daemon, ended: () => ended };
}
