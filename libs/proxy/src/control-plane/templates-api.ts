import Router from '@koa/router';
import { toTemplateResource } from '@ephemera/contract';
import type { Template } from '@ephemera/domain';
import type { CapacitySnapshot, TemplateUsage } from '@ephemera/store';
import type { Starter } from '../launch/start-instance.ts';
import { EXACT } from './exact-paths.ts';

export interface TemplatesApi {
  readonly starter: Starter;
  readonly readUsage: {
    hosts(): Promise<CapacitySnapshot>;
    of(template: Template): Promise<TemplateUsage>;
  };
}

/** `/v1/templates` and `/v1/stats`: what may be asked for, and whether there is room. */
export function templatesRouter({ starter, readUsage }: TemplatesApi): Router {
  const router = new Router(EXACT);
  router.get('/v1/templates', async (ctx) => {
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
  router.get('/v1/stats', async (ctx) => {
    ctx.body = await readUsage.hosts();
  });
  return router;
}
