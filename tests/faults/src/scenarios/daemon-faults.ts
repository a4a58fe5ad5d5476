import { join } from 'node:path';
import { startOwnMachine } from '@ephemera/test-support';
import { registerCleanup } from '../open.ts';
import type { Options } from '../options.ts';

/** Names of the faults, which `daemon-inside.ts` injects. */
export const DAEMON_FAULTS = [
  'restarted',
  'restarted, with live-restore',
  'killed',
  'killed, with live-restore',
  'image gone',
  'disk full',
] as const;

/**
 * Faults of the Docker daemon itself. Two daemons cannot share a bridge, and a proxy must reach the
 * addresses of the containers. So the daemon, Redis, the proxies, the worker and the checks run in
 * separate network and mount namespaces.
 */
export async function daemonFaults(options: Options): Promise<boolean> {
  // Makes DNS queries fail immediately instead of after a timeout.
  const machine = await startOwnMachine({ resolvConf: 'nameserver 127.0.0.1\n' });
  const stop = registerCleanup(() => machine.stop());
  try {
    const program = join(import.meta.dirname, 'daemon-inside.ts');
    const input = [machine.folder, JSON.stringify(options)];
    const child = machine.spawnIn('host', process.execPath, program, ...input);
    child.stdout?.pipe(process.stdout, { end: false });
    child.stderr?.pipe(process.stderr, { end: false });
    return await new Promise((resolve) => child.once('exit', (code) => resolve(code === 0)));
  } finally {
    await stop();
  }
}
