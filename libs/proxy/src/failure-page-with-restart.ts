import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure } from '@ephemera/domain';
import type { TemplateSet } from '@ephemera/config';
import type { InstanceStore } from '@ephemera/store';
import { sendFailure, prefersHtml } from './send-failure.ts';
import type { RestartAction } from './failure-page.ts';

export interface RestartOptions {
  readonly prefix: string;
  /** How visitors reach the public port, without a slash at the end. */
  readonly publicUrl: string;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly templates: { readonly current: TemplateSet };
}

/**
 * Answers failures of the data path: to a person whose instance has ended, or could not be
 * started, the page offers another one of the same template.
 */
export function failurePageWithRestart(launch: RestartOptions) {
  return (req: IncomingMessage, res: ServerResponse, failure: Failure): void => {
    const label = LABELS[failure.kind];
    if (label === undefined || !('id' in failure) || !prefersHtml(req.headers.accept)) {
      sendFailure(req, res, failure);
      return;
    }
    void actionFor(launch, req, failure.id).then((action) => {
      sendFailure(req, res, failure, { label, action });
    });
  };
}

const LABELS: Partial<Record<Failure['kind'], RestartAction['label']>> = {
  gone: 'Start another',
  start_failed: 'Try again',
};

/** Where the template is not known any more, or Redis is away, the default one is offered. */
async function actionFor(
  launch: RestartOptions,
  req: IncomingMessage,
  id: string,
): Promise<string> {
  const { prefix, publicUrl, instances, templates } = launch;
  const dead = await instances.get(id).catch(() => undefined);
  const name = dead?.template.name ?? '';
  const query = templates.current.templates.has(name) ? `?template=${name}` : '';
  // In host form the instance's own origin leads nowhere but to the dead instance.
  const isPathForm = req.url?.startsWith(`/${prefix}/${id}`) === true;
  return `${isPathForm ? '' : publicUrl}/${prefix}/new${query}`;
}
