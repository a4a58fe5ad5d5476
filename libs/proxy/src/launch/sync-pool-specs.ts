import { poolSpecFor } from '@ephemera/lifecycle';
import type { Pools } from '@ephemera/lifecycle';
import type { Refills } from '@ephemera/queue';
import type { TemplateSet } from '@ephemera/config';
import type { Logger } from '@ephemera/process';

/**
 * Publishes the pool specs, and when to scale, to the workers: they do not read the templates. Warm
 * instances have their URL in their environment, so a pool serves one public URL only. The replica
 * that started last sets it, and logs a warning if another replica had a different one; that
 * replica then hands out no warm instances.
 */
export async function syncPoolSpecs(
  ports: {
    readonly pools: Pick<Pools, 'setPoolSpecs' | 'listPoolSpecs'>;
    readonly refills: Pick<Refills, 'schedule' | 'request'>;
  },
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
  await ports.refills.schedule(specs.map(({ template }) => template));
  for (const { template } of specs) await ports.refills.request(template.name);
}
