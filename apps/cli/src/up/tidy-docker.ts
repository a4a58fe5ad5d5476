import { join } from 'node:path';

import { workspace } from '../config.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { runCommand } from './run-command.ts';

/**
 * Takes what this start has left off the Docker daemon, once no worker runs any more: the warm
 * instances, and the network with its firewall rules where no earlier instance needs them.
 */
export async function tidyDocker(
  before: ReadonlySet<string>,
  environment: NodeJS.ProcessEnv,
  report: Reporter,
): Promise<void> {
  // The worker holds the only code that speaks to the daemon, and is run here as a program.
  const program = join(workspace, 'apps/worker/src/remove-all.ts');
  const args = [program, '--spare', [...before].join(',')];
  try {
    await runCommand(process.execPath, args, { env: environment });
  } catch (error) {
    report.warn(`Something was left on the Docker daemon: ${(error as Error).message}`);
  }
}
