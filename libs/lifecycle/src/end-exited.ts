import { isServing } from '@ephemera/domain';
import { exitMessage } from './exit-message.ts';
import { kill } from './kill.ts';
import type { Killed, KillPorts } from './kill.ts';
import type { Containers } from './ports.ts';

export interface ExitPorts extends KillPorts {
  readonly containers: KillPorts['containers'] & Pick<Containers, 'inspect' | 'running'>;
  /** The host whose daemon told of the exit. */
  readonly host: string;
}

/**
 * A container has ended: its instance ends with it, where it was the container of that instance. A
 * second one under its id, made for a store that had lost the first, ends beside it and is no news;
 * nor is one that ends because its instance is being killed.
 */
export async function endExitedInstance(
  ports: ExitPorts,
  { id, containerId }: { readonly id: string; readonly containerId: string },
): Promise<Killed> {
  const { instances, containers, host } = ports;
  const instance = await instances.get(id);
  if (!instance || !isServing(instance.state) || instance.host !== host) return { kind: 'absent' };
  const seen = await containers.inspect(containerId);
  if (seen?.running) return { kind: 'absent' };
  // The daemon tells of an exit before it lists it.
  const others = (await containers.running(id)).filter((text) => text !== containerId);
  if (others.length > 0) return { kind: 'absent' };
  const reason = seen?.oomKilled ? 'oom' : 'exited';
  return kill(ports, id, reason, exitMessage(seen));
}
