import { BootError } from '@ephemera/domain';
import type { Logger } from './logger.ts';

/** A long-running app as tests and processes compose it. */
export interface App {
  readonly logger: Logger;
  /**
   * Connects to the services that the app needs and starts its work.
   * @throws BootError or ConfigError if the operator must change something first
   */
  start(): Promise<void>;
  /**
   * Drains, and releases everything that `start` acquired, in reverse order. Safe to call twice.
   */
  stop(): Promise<void>;
}

const MIN_NODE_MAJOR = 26;

/**
 * Runs a command to completion. An error that the operator can fix is printed as one message. Any
 * other error is a bug and is printed with its stack. Both exit the process with code 1.
 *
 * @param minNodeMajor the oldest major version of Node that can run it
 */
export async function runMain(
  main: () => Promise<void>,
  minNodeMajor = MIN_NODE_MAJOR,
): Promise<void> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < minNodeMajor) {
    process.stderr.write(
      `Ephemera needs Node ${minNodeMajor} or newer; this is ${process.version}.\n`,
    );
    process.exit(1);
  }
  try {
    await main();
  } catch (error) {
    const isExpected = error instanceof BootError;
    const text =
      error instanceof Error ? (isExpected ? error.message : error.stack) : String(error);
    process.stderr.write(`${text ?? 'unknown error'}\n`);
    process.exit(1);
  }
}

/**
 * Runs an app until SIGTERM or SIGINT, then stops it and exits with code 0. A second signal exits
 * immediately with code 1.
 */
export async function runApp(create: () => App): Promise<void> {
  await runMain(async () => {
    const app = create();
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals): void => {
      signals++;
      if (signals > 1) process.exit(1);
      app.logger.info({ signal }, 'stopping');
      void app.stop().then(() => {
        app.logger.info('stopped');
        process.exit(0);
      });
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    await app.start();
  });
}
