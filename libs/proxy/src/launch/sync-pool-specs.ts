import { poolSpecFor } from '@ephemera/lifecycle';
import type { Pools } from '@ephemera/lifecycle';
import type { Refills } from '@ephemera/queue';
import type { TemplateSet } from '@ephemera/config';
import type { Logger } from '@ephemera/process';

/**
 * Tells the workers what to keep warm, and when: they do not read the templates themselves. Warm
 * instances know their address by their environment, so they are kept for one public address, that of
 * the replica that started last: it says so where others had another, which hand none out from then on.
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
    logger.warn(addresses, 'pools were for another public address; see EPHEMERA_PUBLIC_URL');
  }
  await ports.pools.setPoolSpecs(specs);
  await ports.refills.schedule(specs.map(({ template }) => template));
  for (const { template } of specs) await ports.refills.request(template.name);
}
