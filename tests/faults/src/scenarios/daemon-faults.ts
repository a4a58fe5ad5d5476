import { join } from 'node:path';
import { startOwnMachine } from '@ephemera/test-support';
import { closing } from '../open.ts';
import type { Options } from '../options.ts';

/** The faults, which `daemon-inside.ts` injects. */
export const DAEMON_FAULTS = [
  'restarted',
  'restarted, with live-restore',
  'killed',
  'killed, with live-restore',
  'image gone',
  'disk full',
] as const;

/**
 * Faults of a Docker daemon itself. Two daemons share no bridge, and a proxy must reach the
 * containers' addresses, so everything of the scenario runs in a network namespace of its own, whose
 * mounts live and die with it: daemon, Redis, proxies, worker, and who looks at them.
 */
export async function daemonFaults(options: Options): Promise<boolean> {
  // A name is asked for in vain at once, not after seconds.
  const machine = await startOwnMachine({ resolvConf: 'nameserver 127.0.0.1\n' });
  const stop = closing(() => machine.stop());
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
