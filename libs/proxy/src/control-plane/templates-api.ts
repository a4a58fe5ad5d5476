import { adminRoutes, toTemplateResource } from '@ephemera/contract';
import type { Template } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import type { Room, TemplateRoom } from '@ephemera/store';
import type { Starter } from '../launch/start-instance.ts';

export interface TemplatesApi {
  readonly starter: Starter;
  readonly room: {
    hosts(): Promise<Room>;
    of(template: Template): Promise<TemplateRoom>;
  };
}

/** `/v1/templates` and `/v1/stats`: what may be asked for, and whether there is room. */
export function templateRoutes({ starter, room }: TemplatesApi): BoundRoute[] {
  const list = route(adminRoutes.listTemplates, async (ctx) => {
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
  const readStats = route(adminRoutes.readStats, async (ctx) => {
    ctx.body = await room.hosts();
  });
  return [list, readStats];
}
