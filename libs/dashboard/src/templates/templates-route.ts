import type { ConfigIssue } from '@ephemera/config';
import { route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { dashboardRoutes } from '../dashboard-routes.ts';
import { readTemplatesView, templatesPage } from './templates-page.ts';
import type { Configured, TemplatesPorts } from './templates-page.ts';

/** `/dashboard/templates`: the templates of the configuration file with their use, and the webhooks. */
export function templatesRoute({
  configFile,
  ...ports
}: TemplatesPorts & {
  readonly configFile: {
    readonly current: Configured | undefined;
    readonly issues: readonly ConfigIssue[];
  };
}): BoundRoute {
  return route(dashboardRoutes.templates, async (ctx) => {
    const view = await readTemplatesView(ports, configFile.current);
    ctx.type = 'html';
    ctx.body = templatesPage(view, configFile.issues);
  });
}
