import { wishOf } from '@ephemera/lifecycle';
import type { Pools } from '@ephemera/lifecycle';
import type { Refills } from '@ephemera/queue';
import type { TemplateSet } from '@ephemera/config';
import type { Logger } from '@ephemera/process';

/**
 * Tells the workers what to keep warm, and when: they do not read the templates themselves. Warm
 * instances know their address by their environment, so they are kept for one public address, that of
 * the replica that started last: it says so where others had another, which hand none out from then on.
 */
export async function publishPools(
  ports: {
    readonly pools: Pick<Pools, 'publish' | 'wishes'>;
    readonly refills: Pick<Refills, 'schedule' | 'request'>;
  },
  { templates }: TemplateSet,
  urlOf: (id: string) => string,
  logger: Pick<Logger, 'warn'>,
): Promise<void> {
  const here = urlOf('{id}');
  const wishes = [...templates.values()].flatMap((each) => wishOf(each, here) ?? []);
  const before = (await ports.pools.wishes()).find(({ urlPattern }) => urlPattern !== here);
  if (before && wishes.length > 0) {
    const addresses = { before: before.urlPattern, now: here };
    logger.warn(addresses, 'pools were for another public address; see EPHEMERA_PUBLIC_URL');
  }
  await ports.pools.publish(wishes);
  await ports.refills.schedule(wishes.map(({ template }) => template));
  for (const { template } of wishes) await ports.refills.request(template.name);
}
