import type { Instance, SeenContainer } from '@ephemera/domain';
import type { Containers } from '@ephemera/lifecycle';

export interface MemoryContainers extends Containers {
  /** All containers, by name. */
  readonly containers: ReadonlyMap<string, MemoryContainer>;
  /** Makes a container exit, with its last output. */
  exit(id: string, how: { exitCode: number; oomKilled?: boolean; log?: string }): void;
}

export interface MemoryContainer extends SeenContainer {
  readonly address: string;
  readonly instance: Instance;
  readonly log: string;
}

/**
 * Containers in memory, for tests of the lifecycle rules; other tests use a real daemon.
 * `beforeStart` may throw the errors of a daemon.
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
  const nextTick = () => Promise.resolve();

  return {
    containers,
    exit(id, { exitCode, oomKilled = false, log = '' }) {
      change((container) => container.id === id, {
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
      await nextTick();
      const [, container] = find(containerId) ?? [];
      if (!container) return undefined;
      const { running, exitCode = 0, oomKilled } = container;
      return { running, exitCode, oomKilled };
    },
    async running(id) {
      await nextTick();
      const mine = [...containers.values()].filter(
        (container) => container.id === id && container.running,
      );
      return mine.map(({ containerId }) => containerId);
    },
    async lastLines(containerId, count) {
      await nextTick();
      const log = find(containerId)?.[1].log ?? '';
      return log.split('\n').slice(-count).join('\n');
    },
    async pauseContainer(id) {
      await nextTick();
      change((container) => container.id === id, { paused: true });
    },
    async unpauseContainer(id) {
      await nextTick();
      change((container) => container.id === id, { paused: false });
    },
    async removeInstance(id) {
      await nextTick();
      for (const [name, container] of containers) if (container.id === id) containers.delete(name);
    },
    async remove(containerId) {
      await nextTick();
      const [name] = find(containerId) ?? [];
      if (name !== undefined) containers.delete(name);
    },
    async list() {
      await nextTick();
      return [...containers.values()];
    },
    async labelClaimed(containerId, { generation }) {
      await nextTick();
      change((container) => container.containerId === containerId, {
        pooled: 'claimed',
        generation,
      });
    },
    async recoverInstance(containerId) {
      await nextTick();
      const [, container] = find(containerId) ?? [];
      if (!container) return undefined;
      const { instance, generation, paused, address, createdAt, expiresAt } = container;
      const state = paused ? 'paused' : 'ready';
      const times = { startedAt: createdAt, activeAt: now(), expiresAt };
      return { ...instance, state, generation, address, ...times };
    },
  };
}
