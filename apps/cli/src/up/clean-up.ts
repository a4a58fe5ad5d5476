import { join } from 'node:path';

import { workspace } from '../config.ts';
import type { Reporter, OnProgress } from '../terminal/reporter.ts';
import { defaultDockerEndpoint, describeEndpoint } from './docker-endpoint.ts';
import { runCommand } from './run-command.ts';

// Only the worker contains code that uses the daemon, so it runs as a program.
const program = join(workspace, 'apps/worker/src/remove-all.ts');

/** What existed before the start, as printed and read by the program. */
export type Snapshot = string;

/** The output of `remove-all.ts --since`; see `Removal` there. */
interface Removal {
  readonly instances: readonly string[];
  readonly containers: number;
  readonly networks: readonly string[];
  readonly rules: readonly string[];
  readonly remaining: {
    readonly before: readonly string[];
    readonly kept: readonly string[];
    readonly networks: readonly { readonly name: string; readonly reason: string }[];
    readonly rules: readonly string[];
    readonly running: number;
  };
  readonly problems: readonly string[];
}

/** Removes at the end of a start what that start has created. */
export interface CleanUp {
  /** Ends the instances through the running workers. If this fails, `remove` ends them. */
  drain(onProgress: OnProgress): Promise<void>;
  /**
   * Removes the rest after all workers have stopped, and reports what was removed and what remains.
   *
   * @param workerDied whether a worker died recently: the daemon may still create its containers
   * @returns how many containers run on the daemon, including those of other users; undefined if
   * unknown
   */
  remove(workerDied: boolean): Promise<number | undefined>;
}

/** After a worker has died, wait until no container has appeared for this long, ms. */
const quietMs = 5_000;

/**
 * Reads what exists in the namespace before any worker runs.
 *
 * @param environment for the worker: DOCKER_HOST, EPHEMERA_REDIS_URL, EPHEMERA_CONFIG
 */
export async function takeSnapshot(
  environment: NodeJS.ProcessEnv,
  stop: AbortSignal,
): Promise<Snapshot> {
  let printed = '';
  const onLine = (line: string) => {
    if (line.startsWith('{')) printed = line;
  };
  await runCommand(process.execPath, [program, '--snapshot'], { env: environment, stop, onLine });
  return printed;
}

export function createCleanUp(options: {
  readonly before: Snapshot;
  readonly environment: NodeJS.ProcessEnv;
  readonly keep: boolean;
  readonly report: Reporter;
}): CleanUp {
  const { before, environment, keep, report } = options;
  const drained = new Set<string>();
  const run = (args: readonly string[], onPrinted: (printed: object) => void) =>
    runCommand(process.execPath, [program, ...args, ...(keep ? ['--keep'] : [])], {
      env: environment,
      input: before,
      onLine: (line) => line.startsWith('{') && onPrinted(JSON.parse(line) as object),
    });

  return {
    async drain(onProgress) {
      try {
        await run(['--drain'], (printed) => {
          if ('progress' in printed) onProgress(`instances: ${String(printed.progress)}`);
          if ('ended' in printed) for (const id of printed.ended as string[]) drained.add(id);
        });
      } catch (error) {
        report.warn(`The workers could not end the instances: ${(error as Error).message}`);
      }
    },

    async remove(workerDied) {
      let removal: Removal | undefined;
      try {
        await report.step('Clean-up', async (onProgress) => {
          if (workerDied)
            onProgress('a worker died: waiting for containers that Docker still creates');
          await run(['--since', '--quiet', String(workerDied ? quietMs : 0)], (printed) => {
            removal = printed as Removal;
          });
          if (removal) onProgress(removedText(removal, drained));
        });
      } catch (error) {
        report.warn(`The clean-up failed: ${(error as Error).message}`);
        report.warn(`Remove what remains with: ${cleanCommand(environment)}`);
        return undefined;
      }
      for (const problem of removal?.problems ?? []) report.warn(problem);
      if (removal) for (const line of remainingLines(removal, environment)) report.say(line);
      return removal?.remaining.running;
    },
  };
}

/** `3 instances ended, 1 network (ephemera) and its firewall rules removed` */
function removedText(
  { instances, networks, rules }: Removal,
  drained: ReadonlySet<string>,
): string {
  const ended = new Set([...drained, ...instances]).size;
  const parts = [
    `${count(ended, 'instance')} ended`,
    networks.length === 0
      ? 'no network removed'
      : `${count(networks.length, 'network')} removed (${networks.join(', ')})`,
    rules.length === 0
      ? 'no firewall rules removed'
      : `firewall rules of ${rules.join(', ')} removed`,
  ];
  return parts.join(', ');
}

/** Lists what remains and how to remove it; one line if nothing remains. */
function remainingLines({ remaining }: Removal, environment: NodeJS.ProcessEnv): string[] {
  const { before, kept, networks, rules } = remaining;
  const lines: string[] = [];
  if (before.length > 0) {
    lines.push(`    ${count(before.length, 'instance')} of an earlier start: ${listed(before)}`);
  }
  if (kept.length > 0) {
    lines.push(`    ${count(kept.length, 'instance')} of this start: ${listed(kept)}`);
  }
  for (const { name, reason } of networks) lines.push(`    the network ${name}: ${reason}`);
  if (rules.length > 0) lines.push(`    the firewall rules of ${rules.join(', ')}`);
  if (lines.length === 0)
    return ['\n  Nothing of Ephemera remains on the Docker daemon except images.'];
  if (before.length + kept.length > 0) {
    lines.push(
      '  While Ephemera is stopped, no instance ends. The next start ends overdue instances.',
    );
  }
  return [
    '\n  Still on the Docker daemon:',
    ...lines,
    `  Remove it with: ${cleanCommand(environment)}`,
  ];
}

const usual = describeEndpoint(defaultDockerEndpoint);

/**
 * Removes everything of this namespace from the Docker daemon.
 *
 * @throws BootError if something could not be removed
 */
export async function clean(environment: NodeJS.ProcessEnv): Promise<string> {
  const lines: string[] = [];
  await runCommand(process.execPath, [program], {
    env: environment,
    onLine: (line) => void lines.push(line),
  });
  return lines.join('\n');
}

/** Returns the command that removes everything of this namespace, of all starts. */
export function cleanCommand(environment: NodeJS.ProcessEnv): string {
  const names = ['EPHEMERA_NAMESPACE', 'DOCKER_HOST', 'EPHEMERA_FIREWALL_IMAGE'];
  const settings = names.flatMap((name) => {
    const value = environment[name];
    return !value || value === usual ? [] : [`${name}=${value}`];
  });
  return [...settings, 'npx ephemera clean'].join(' ');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function listed(ids: readonly string[]): string {
  const shown = ids.slice(0, 5).join(', ');
  return ids.length > 5 ? `${shown} and ${ids.length - 5} more` : shown;
}
