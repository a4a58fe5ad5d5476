import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const program = join(import.meta.dirname, '../../../apps/cli/src/prepare-tests.ts');

/**
 * Installs the Debian packages that the suites need, starts a Docker Engine where none runs, and
 * builds the demo image. Ends the process with the exit code of a preparation that failed.
 */
export function prepareMachine(): void {
  const { status } = spawnSync(process.execPath, [program], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
