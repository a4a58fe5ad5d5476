import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

import { BootError } from '@ephemera/domain';
import type { OnProgress } from '../terminal/reporter.ts';
import { describeEndpoint, type DockerEndpoint } from './docker-endpoint.ts';
import { findProgram } from './find-program.ts';
import { lastLines } from './last-lines.ts';
import { pingDocker } from './ping-docker.ts';
import { runCommand } from './run-command.ts';
import { hasServiceManager } from './service-manager.ts';
import { waitUntil } from './wait-until.ts';

const readyTimeoutMs = 60_000;

/** A dockerd that was started here. */
export interface DockerDaemon {
  readonly pid: number | undefined;
  /** Asks it to stop, and waits until it has. */
  stop(): Promise<void>;
  /** Asks it to stop, without waiting. */
  terminate(): void;
  /** Lets it go on after this process. */
  leave(): void;
}

export interface StartDockerOptions {
  readonly logFile: string;
  readonly stop: AbortSignal;
  /** Hears of a dockerd as soon as it was started; a service belongs to the service manager. */
  readonly onStarted?: ((daemon: DockerDaemon) => void) | undefined;
}

/**
 * Starts the Docker Engine that is installed here: as a service, or in the background where no
 * service manager runs.
 */
export async function startDocker(
  endpoint: DockerEndpoint,
  { logFile, stop, onStarted }: StartDockerOptions,
  onProgress: OnProgress,
): Promise<string> {
  if (process.getuid?.() !== 0) {
    const start = hasServiceManager() ? 'systemctl start docker' : 'dockerd';
    throw new BootError(
      `Docker is installed but does not run, and to start it takes root. Run:\n\n    sudo ${start}\n`,
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

/** In a session of its own, so that Ctrl-C here does not reach it. */
function startDaemon(logFile: string): { daemon: DockerDaemon; ended: () => boolean } {
  const log = openSync(logFile, 'a');
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
