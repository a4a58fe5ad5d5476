import type { Instance, SeenContainer } from '@ephemera/domain';
import type { Containers } from '@ephemera/lifecycle';

export interface MemoryContainers extends Containers {
  /** Every container that is there, by name. */
  readonly there: ReadonlyMap<string, MemoryContainer>;
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
  const there = new Map<string, MemoryContainer>();
  let made = 0;
  const find = (containerId: string) =>
    [...there].find(([, container]) => container.containerId === containerId);
  const change = (which: (container: MemoryContainer) => boolean, to: Partial<MemoryContainer>) => {
    for (const [name, container] of there) {
      if (which(container)) there.set(name, { ...container, ...to });
    }
  };
  const turn = () => Promise.resolve();

  return {
    there,
    exit(id, { exitCode, oomKilled = false, log = '' }) {
      change((each) => each.id === id, { running: false, exitCode, oomKilled, log });
    },
    async start(instance, nextTurn) {
      const address = `10.0.0.${await nextTurn()}`;
      beforeStart?.(instance);
      const name = `${instance.id}-${instance.generation}`;
      let container = there.get(name);
      if (!container) {
        container = {
          containerId: `container-${++made}`,
          id: instance.id,
          generation: instance.generation,
          createdAt: now(),
          expiresAt: Math.min(instance.expiresAt + instance.timeout, instance.maxExpiresAt),
          running: true,
          frozen: false,
          pooled: instance.pool === undefined ? undefined : 'waits',
          oomKilled: false,
          exitCode: undefined,
          address,
          instance,
          log: '',
        };
        there.set(name, container);
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
      const mine = [...there.values()].filter((each) => each.id === id && each.running);
      return mine.map(({ containerId }) => containerId);
    },
    async lastLines(containerId, count) {
      await turn();
      const log = find(containerId)?.[1].log ?? '';
      return log.split('\n').slice(-count).join('\n');
    },
    async pause(id) {
      await turn();
      change((each) => each.id === id, { frozen: true });
    },
    async unpause(id) {
      await turn();
      change((each) => each.id === id, { frozen: false });
    },
    async removeInstance(id) {
      await turn();
      for (const [name, container] of there) if (container.id === id) there.delete(name);
    },
    async remove(containerId) {
      await turn();
      const [name] = find(containerId) ?? [];
      if (name !== undefined) there.delete(name);
    },
    async list() {
      await turn();
      return [...there.values()];
    },
    async mark(containerId, { generation }) {
      await turn();
      change((each) => each.containerId === containerId, { pooled: 'claimed', generation });
    },
    async recall(containerId) {
      await turn();
      const [, container] = find(containerId) ?? [];
      if (!container) return undefined;
      const { instance, generation, frozen, address, createdAt, expiresAt } = container;
      const state = frozen ? 'paused' : 'ready';
      const times = { startedAt: createdAt, activeAt: now(), expiresAt };
      return { ...instance, state, generation, address, ...times };
    },
  };
}
