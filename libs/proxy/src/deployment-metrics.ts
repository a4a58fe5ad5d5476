import { Gauge, collectTogether } from '@ephemera/process';
import type { Registry } from '@ephemera/process';
import type { HostCapacity, HostStatus, RedisMemory, TemplateUsage } from '@ephemera/store';

// What Redis knows of the whole deployment. Every replica serves the same values, so that they
// outlive the workers of a host. While Redis does not answer, the gauges keep their last values.

/** How long a scrape waits for Redis, ms. */
const READ_TIMEOUT_MS = 1_000;

const RESOURCES = ['instances', 'memory', 'cpus'] as const;

/** A host as the metrics show it. */
export type HostUsage = Pick<HostStatus, 'host' | 'alive'> &
  HostCapacity & { readonly isCordoned: boolean };

/** Registers the instances and pools by template. */
export function registerUsageMetrics(
  registry: Registry,
  read: () => Promise<readonly (TemplateUsage & { readonly template: string })[]>,
): void {
  const gauge = gaugesOf(registry, ['template']);
  const instances = gauge(
    'ephemera_template_instances',
    'Live instances of a template, with warm ones and without queued ones',
  );
  const queued = gauge(
    'ephemera_template_queued_instances',
    'Instances of a template that wait in the start queue',
  );
  const warm = gauge(
    'ephemera_pool_warm_instances',
    'Warm instances of a template that can be claimed',
  );
  const wanted = gauge(
    'ephemera_pool_wanted_instances',
    'Warm instances that a template should have',
  );
  const gauges = [instances, queued, warm, wanted];
  collectTogether(gauges, async () => {
    const usages = await withTimeout(read);
    if (!usages) return;
    // A template may have been removed from the configuration.
    for (const each of gauges) each.reset();
    for (const { template, ...usage } of usages) {
      instances.set({ template }, usage.instances);
      queued.set({ template }, usage.queued);
      warm.set({ template }, usage.warm);
      wanted.set({ template }, usage.wanted);
    }
  });
}

/** Registers the state and the capacity of each host that was ever registered. */
export function registerHostMetrics(
  registry: Registry,
  read: () => Promise<readonly HostUsage[]>,
): void {
  const byHost = gaugesOf(registry, ['host']);
  const byResource = gaugesOf(registry, ['host', 'resource']);
  const up = byHost(
    'ephemera_host_up',
    'Whether a worker and the Docker daemon of a host answer: 0 after 15 s without a heartbeat',
  );
  const cordoned = byHost('ephemera_host_cordoned', 'Whether a host starts no further instances');
  const instances = byHost('ephemera_host_instances', 'Live instances of a host');
  const capacity = byResource(
    'ephemera_host_capacity',
    'What a host offers of a resource: `instances`, `memory` in bytes, `cpus`. Without a limit there is no value',
  );
  const used = byResource(
    'ephemera_host_used',
    'What instances have reserved of a resource of a host, as in `ephemera_host_capacity`',
  );
  const gauges = [up, cordoned, instances, capacity, used];
  collectTogether(gauges, async () => {
    const hosts = await withTimeout(read);
    if (!hosts) return;
    for (const each of gauges) each.reset();
    for (const { host, ...usage } of hosts) {
      up.set({ host }, usage.alive ? 1 : 0);
      cordoned.set({ host }, usage.isCordoned ? 1 : 0);
      instances.set({ host }, usage.instances);
      for (const resource of RESOURCES) {
        const max = usage.max[resource];
        if (max !== undefined) capacity.set({ host, resource }, max);
        used.set({ host, resource }, usage.used[resource] ?? 0);
      }
    }
  });
}

/** Registers the memory of Redis. */
export function registerRedisMemoryMetrics(
  registry: Registry,
  read: () => Promise<RedisMemory>,
): void {
  const gauge = gaugesOf(registry, []);
  const used = gauge('ephemera_redis_memory_used_bytes', 'Memory that the data of Redis uses');
  const limit = gauge(
    'ephemera_redis_memory_limit_bytes',
    'The `maxmemory` of Redis, or the memory of its machine if that is not set. At `maxmemory`, Redis refuses writes, so nothing starts',
  );
  collectTogether([used, limit], async () => {
    const memory = await withTimeout(read);
    if (!memory) return;
    used.set(memory.used);
    limit.set(memory.limit);
  });
}

const gaugesOf =
  (registry: Registry, labelNames: string[]) =>
  (name: string, help: string): Gauge =>
    new Gauge({ name, help, labelNames, registers: [registry] });

/** Undefined: Redis did not answer in time, or with an error. */
async function withTimeout<T>(read: () => Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, READ_TIMEOUT_MS, undefined);
  });
  try {
    return await Promise.race([read().catch(() => undefined), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
