import { join } from 'node:path';

import { workspace } from '../config.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { runCommand } from './run-command.ts';

// The worker holds the only code that speaks to the daemon, and is run here as a program.
const program = join(workspace, 'apps/worker/src/remove-all.ts');

/** What earlier starts have left on the Docker daemon. */
export interface Leftovers {
  readonly instances: ReadonlySet<string>;
  readonly network: boolean;
}

/** Looks at what is there before a worker runs. */
export async function findLeftovers(environment: NodeJS.ProcessEnv): Promise<Leftovers> {
  const lines: string[] = [];
  const onLine = (line: string) => void lines.push(line);
  await runCommand(process.execPath, [program, '--list'], { env: environment, onLine });
  const named = (kind: string) =>
    lines.flatMap((line) => (line.startsWith(`${kind} `) ? [line.slice(kind.length + 1)] : []));
  return { instances: new Set(named('instance')), network: named('network').length > 0 };
}

/**
 * Takes what this start has left off the Docker daemon, once no worker runs any more: the warm
 * instances, and the network with its firewall rules where no earlier instance needs them.
 */
export async function cleanUpDocker(
  { instances, network }: Leftovers,
  environment: NodeJS.ProcessEnv,
  report: Reporter,
): Promise<void> {
  const args = [program, '--spare', [...instances].join(',')];
  if (network) args.push('--keep-network');
  try {
    await runCommand(process.execPath, args, { env: environment });
  } catch (error) {
    report.warn(`Something was left on the Docker daemon: ${(error as Error).message}`);
  }
}
