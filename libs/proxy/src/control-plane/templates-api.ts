import Router from '@koa/router';
import { toTemplateResource } from '@ephemera/contract';
import type { Template } from '@ephemera/domain';
import type { Room, TemplateRoom } from '@ephemera/store';
import type { Starter } from '../launch/start-instance.ts';
import { EXACT } from './exact-paths.ts';

export interface TemplatesApi {
  readonly starter: Starter;
  readonly room: {
    hosts(): Promise<Room>;
    of(template: Template): Promise<TemplateRoom>;
  };
}

/** `/v1/templates` and `/v1/stats`: what may be asked for, and whether there is room. */
export function templatesRouter({ starter, room }: TemplatesApi): Router {
  const router = new Router(EXACT);
  router.get('/v1/templates', async (ctx) => {
    const { preset, templates } = starter.templates;
    const { available } = await room.hosts();
    const items = [...templates.values()].map(async (template) => {
      const present = await room.of(template);
      return toTemplateResource(template, {
        ...present,
        available,
        isDefault: template === preset,
      });
    });
    ctx.body = { items: await Promise.all(items) };
  });
  router.get('/v1/stats', async (ctx) => {
    ctx.body = await room.hosts();
  });
  return router;
}
