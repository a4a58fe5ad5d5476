import { BootError } from '@ephemera/domain';
import { ConfigError } from '@ephemera/config';

const OLDEST = 26;

/**
 * Runs an app's main and ends the process where it cannot start: one clear text on stderr for
 * what the operator can mend, a stack only for a bug.
 */
export async function runApp(main: () => Promise<void>): Promise<void> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST) {
    process.stderr.write(`Ephemera needs Node ${OLDEST} or newer; this is ${process.version}.\n`);
    process.exit(1);
  }
  try {
    await main();
  } catch (error) {
    const expected = error instanceof ConfigError || error instanceof BootError;
    const text = error instanceof Error ? (expected ? error.message : error.stack) : String(error);
    process.stderr.write(`${text ?? 'unknown fault'}\n`);
    process.exit(1);
  }
}
