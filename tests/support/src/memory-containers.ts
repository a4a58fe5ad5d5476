import type { Instance, SeenContainer } from '@ephemera/domain';
import type { Containers } from '@ephemera/lifecycle';

export interface MemoryContainers extends Containers {
  /** Every container that is there, by name. */
  readonly containers: ReadonlyMap<string, MemoryContainer>;
  /** Ends a container from inside, with what it last wrote. */
  exit(id: string, how: { exitCode: number; oomKilled?: boolean; log?: string }): void;
}

export interface MemoryContainer extends SeenContainer {
  readonly address: string;
  readonly instance: Instance;
  readonly log: string;
}

/**
 * Containers in memory, for the rules of the lifecycle alone: what a daemon really does is tried
 * on one. `beforeStart` may throw what a daemon would.
 */
export function memoryContainers(
  options: { now?: () => number; beforeStart?: (instance: Instance) => void } = {},
): MemoryContainers {
  const { now = Date.now, beforeStart } = options;
  const containers = new Map<string, MemoryContainer>();
  let made = 0;
  const find = (containerId: string) =>
    [...containers].find(([, container]) => container.containerId === containerId);
  const change = (which: (container: MemoryContainer) => boolean, to: Partial<MemoryContainer>) => {
    for (const [name, container] of containers) {
      if (which(container)) containers.set(name, { ...container, ...to });
    }
  };
  const turn = () => Promise.resolve();

  return {
    containers,
    exit(id, { exitCode, oomKilled = false, log = '' }) {
      change((memoryContainer) => memoryContainer.id === id, {
        running: false,
        exitCode,
        oomKilled,
        log,
      });
    },
    async start(instance, nextAddressIndex) {
      const address = `10.0.0.${await nextAddressIndex()}`;
      beforeStart?.(instance);
      const name = `${instance.id}-${instance.generation}`;
      let container = containers.get(name);
      if (!container) {
        container = {
          containerId: `container-${++made}`,
          id: instance.id,
          generation: instance.generation,
          createdAt: now(),
          expiresAt: Math.min(instance.expiresAt + instance.timeout, instance.maxExpiresAt),
          running: true,
          paused: false,
          pooled: instance.pool === undefined ? undefined : 'unclaimed',
          oomKilled: false,
          exitCode: undefined,
          address,
          instance,
          log: '',
        };
        containers.set(name, container);
      }
      return { containerId: container.containerId, address: container.address };
    },
    async inspect(containerId) {
      await turn();
      const [, container] = find(containerId) ?? [];
      if (!container) return undefined;
      const { running, exitCode = 0, oomKilled } = container;
      return { running, exitCode, oomKilled };
    },
    async running(id) {
      await turn();
      const mine = [...containers.values()].filter(
        (memoryContainer) => memoryContainer.id === id && memoryContainer.running,
      );
      return mine.map(({ containerId }) => containerId);
    },
    async lastLines(containerId, count) {
      await turn();
      const log = find(containerId)?.[1].log ?? '';
      return log.split('\n').slice(-count).join('\n');
    },
    async pauseContainer(id) {
      await turn();
      change((memoryContainer) => memoryContainer.id === id, { paused: true });
    },
    async unpauseContainer(id) {
      await turn();
      change((memoryContainer) => memoryContainer.id === id, { paused: false });
    },
    async removeInstance(id) {
      await turn();
      for (const [name, container] of containers) if (container.id === id) containers.delete(name);
    },
    async remove(containerId) {
      await turn();
      const [name] = find(containerId) ?? [];
      if (name !== undefined) containers.delete(name);
    },
    async list() {
      await turn();
      return [...containers.values()];
    },
    async labelClaimed(containerId, { generation }) {
      await turn();
      change((memoryContainer) => memoryContainer.containerId === containerId, {
        pooled: 'claimed',
        generation,
      });
    },
    async recoverInstance(containerId) {
      await turn();
      const [, container] = find(containerId) ?? [];
      if (!container) return undefined;
      const { instance, generation, paused, address, createdAt, expiresAt } = container;
      const state = paused ? 'paused' : 'ready';
      const times = { startedAt: createdAt, activeAt: now(), expiresAt };
      return { ...instance, state, generation, address, ...times };
    },
  };
}
