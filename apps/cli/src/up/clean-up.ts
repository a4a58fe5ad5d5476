import { join } from 'node:path';

import { workspace } from '../config.ts';
import type { Reporter, OnProgress } from '../terminal/reporter.ts';
import { defaultDockerEndpoint, describeEndpoint } from './docker-endpoint.ts';
import { runCommand } from './run-command.ts';

// The worker holds the only code that speaks to the daemon, and is run here as a program.
const program = join(workspace, 'apps/worker/src/remove-all.ts');

/** What existed before the start, as the program prints it and reads it again. */
export type Snapshot = string;

/** What `remove-all.ts --since` prints; see `Removal` there. */
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

/** How the end of a start removes what that start has made. */
export interface CleanUp {
  /** Ends the instances by the workers, which still run. A failure is left to `remove`. */
  drain(onProgress: OnProgress): Promise<void>;
  /**
   * Removes the rest, once no worker runs, and reports what was removed and what remains.
   *
   * @param workerDied whether a worker died a short time ago: the daemon finishes what it began
   * @returns how many containers run on the daemon, those of others included; undefined where that
   * is not known
   */
  remove(workerDied: boolean): Promise<number | undefined>;
}

/** How long no container may appear after a worker has died, ms. */
const quietMs = 5_000;

/**
 * Reads what exists in the namespace before a worker runs.
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
            onProgress('a worker died: looking for containers that Docker still makes');
          await run(['--since', '--quiet', String(workerDied ? quietMs : 0)], (printed) => {
            removal = printed as Removal;
          });
          if (removal) onProgress(removedText(removal, drained));
        });
      } catch (error) {
        report.warn(`The clean-up failed: ${(error as Error).message}`);
        report.warn(`What remains is removed by: ${cleanCommand(environment)}`);
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

/** What remains and how it ends; one line where nothing does. */
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
    return ['\n  Nothing of Ephemera remains on the Docker daemon but images.'];
  if (before.length + kept.length > 0) {
    lines.push(
      '  No deadline is carried out while Ephemera is stopped: the next start ends what is overdue.',
    );
  }
  return [
    '\n  What remains on the Docker daemon:',
    ...lines,
    `  Remove it: ${cleanCommand(environment)}`,
  ];
}

const usual = describeEndpoint(defaultDockerEndpoint);

/**
 * Removes everything of this namespace from the Docker daemon.
 *
 * @throws BootError where something could not be removed
 */
export async function clean(environment: NodeJS.ProcessEnv): Promise<string> {
  const lines: string[] = [];
  await runCommand(process.execPath, [program], {
    env: environment,
    onLine: (line) => void lines.push(line),
  });
  return lines.join('\n');
}

/** The command that removes everything of this namespace, whatever start it is of. */
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
