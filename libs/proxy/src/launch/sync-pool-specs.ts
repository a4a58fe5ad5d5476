import { poolSpecFor } from '@ephemera/lifecycle';
import type { Pools } from '@ephemera/lifecycle';
import type { Refills } from '@ephemera/queue';
import type { TemplateSet } from '@ephemera/config';
import type { Logger, Shutdown } from '@ephemera/process';
import { SYNC_POOLS_INTERVAL_MS } from '../limits.ts';

interface PoolSpecPorts {
  readonly pools: Pick<Pools, 'setPoolSpecs' | 'listPoolSpecs'>;
  readonly refills: Pick<Refills, 'schedule' | 'request'>;
}

/**
 * Publishes the pool specs now, after each change of the templates, and after Redis has lost its
 * data.
 * @throws the error of Redis, if the first write fails
 */
export async function keepPoolSpecs(
  ports: PoolSpecPorts,
  templates: { readonly current: TemplateSet; onChange(listener: () => void): void },
  urlOf: (id: string) => string,
  { logger, shutdown }: { readonly logger: Logger; readonly shutdown: Shutdown },
): Promise<void> {
  const sync = () => syncPoolSpecs(ports, templates.current, urlOf, logger);
  const syncIfLost = async () => {
    if ((await ports.pools.listPoolSpecs()).length === 0) await sync();
  };
  const orWarn = (synced: Promise<void>, next: string) =>
    void synced.catch((error: unknown) =>
      logger.warn({ err: error }, `pool specs not written to Redis; ${next}`),
    );
  await sync();
  const resync = setInterval(
    () => orWarn(syncIfLost(), 'trying again in 30 s'),
    SYNC_POOLS_INTERVAL_MS,
  );
  shutdown.onShutdown('pools', () => clearInterval(resync));
  templates.onChange(() => orWarn(sync(), 'send SIGHUP to try again'));
}

/**
 * Publishes the pool specs, and when to scale, to the workers: they do not read the templates. Warm
 * instances have their URL in their environment, so a pool serves one public URL only. The replica
 * that started last sets it, and logs a warning if another replica had a different one; that
 * replica then hands out no warm instances.
 */
async function syncPoolSpecs(
  ports: PoolSpecPorts,
  { templates }: TemplateSet,
  urlOf: (id: string) => string,
  logger: Pick<Logger, 'warn'>,
): Promise<void> {
  const here = urlOf('{id}');
  const specs = [...templates.values()].flatMap((template) => poolSpecFor(template, here) ?? []);
  const before = (await ports.pools.listPoolSpecs()).find(({ urlPattern }) => urlPattern !== here);
  if (before && specs.length > 0) {
    const addresses = { before: before.urlPattern, now: here };
    logger.warn(
      addresses,
      'pool specs of another public URL replaced; set the same EPHEMERA_PUBLIC_URL on all replicas',
    );
  }
  await ports.pools.setPoolSpecs(specs);
  for (const { template } of specs) await ports.refills.request(template.name);
  await ports.refills.schedule(specs.map(({ template }) => template));
}
