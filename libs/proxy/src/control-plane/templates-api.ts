import { adminRoutes, toTemplateResource } from '@ephemera/contract';
import type { Template } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import type { CapacitySnapshot, TemplateUsage } from '@ephemera/store';
import type { Starter } from '../starting/start-instance.ts';

export interface TemplatesApi {
  readonly starter: Starter;
  readonly readUsage: {
    hosts(): Promise<CapacitySnapshot>;
    of(template: Template): Promise<TemplateUsage>;
  };
}

/** `/v1/templates` and `/v1/stats`: the templates and their usage, and the capacity. */
export function templateRoutes({ starter, readUsage }: TemplatesApi): BoundRoute[] {
  const list = route(adminRoutes.listTemplates, async (ctx) => {
    const { defaultTemplate, templates } = starter.templates;
    const { available } = await readUsage.hosts();
    const items = [...templates.values()].map(async (template) => {
      const present = await readUsage.of(template);
      return toTemplateResource(template, {
        ...present,
        available,
        isDefault: template === defaultTemplate,
      });
    });
    ctx.body = { items: await Promise.all(items) };
  });
  const readStats = route(adminRoutes.readStats, async (ctx) => {
    ctx.body = await readUsage.hosts();
  });
  return [list, readStats];
}
