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

/**
 * Starts the Docker Engine that is installed here: as a service, or in the background where no
 * service manager runs. It is left running for the next time.
 */
export async function startDocker(
  endpoint: DockerEndpoint,
  { logFile, stop }: { readonly logFile: string; readonly stop: AbortSignal },
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
    hasEnded = startDaemon(logFile);
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

/** In a session of its own, so that Ctrl-C here does not reach it. Tells whether it has ended. */
function startDaemon(logFile: string): () => boolean {
  const log = openSync(logFile, 'a');
  const daemon = spawn(findProgram('dockerd') ?? 'dockerd', [], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended = false;
  daemon.once('error', () => (ended = true));
  daemon.once('exit', () => (ended = true));
  daemon.unref();
  return () => ended;
}
