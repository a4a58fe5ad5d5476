import { wishOf } from '@ephemera/lifecycle';
import type { Pools } from '@ephemera/lifecycle';
import type { Refills } from '@ephemera/queue';
import type { TemplateSet } from '@ephemera/runtime';

/** Tells the workers what to keep warm, and when: they do not read the templates themselves. */
export async function publishPools(
  ports: {
    readonly pools: Pick<Pools, 'publish'>;
    readonly refills: Pick<Refills, 'schedule' | 'request'>;
  },
  { templates }: TemplateSet,
  urlOf: (id: string) => string,
): Promise<void> {
  const wishes = [...templates.values()].flatMap((each) => wishOf(each, urlOf('{id}')) ?? []);
  await ports.pools.publish(wishes);
  await ports.refills.schedule(wishes.map(({ template }) => template));
  for (const { template } of wishes) await ports.refills.request(template.name);
}
