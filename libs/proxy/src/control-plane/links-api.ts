import { randomBytes } from 'node:crypto';
import bodyParser from '@koa/bodyparser';
import Router from '@koa/router';
import { type LinkResource, linkRequestSchema } from '@ephemera/contract';
import { ApiError, principalKey, checkTimeout } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { InstanceStore } from '@ephemera/store';
import { writeLink } from '../launch/signed-link.ts';
import type { SigningKeys } from '../launch/signing-keys.ts';
import { type Starter, chosenTemplate } from '../launch/start-instance.ts';
import { EXACT } from './exact-paths.ts';
import { parse } from './parse.ts';
import { requireJson } from './require-json.ts';
import { principalOf } from './require-token.ts';

export interface LinksApi {
  readonly starter: Pick<Starter, 'templates'>;
  readonly instances: Pick<InstanceStore, 'now'>;
  readonly keys: SigningKeys;
  /** Where visitors start instances, without `/new`. */
  readonly publicUrl: string;
  readonly logger: Logger;
}

/** `/v1/links`: signed links, which start instances on the account of the token that made them. */
export function linksRouter({ starter, instances, keys, publicUrl, logger }: LinksApi): Router {
  const router = new Router(EXACT);
  const body = bodyParser({ enableTypes: ['json'], jsonLimit: '16kb', jsonStrict: false });

  router.post('/v1/links', requireJson, body, async (ctx) => {
    const asked = parse(linkRequestSchema, ctx.request.rawBody ? ctx.request.body : {});
    const { timeout, uses, validFor } = asked;
    const {
      name: template,
      create,
      maxTimeout,
    } = chosenTemplate(starter.templates, asked.template);
    const checked = timeout === undefined ? undefined : checkTimeout(timeout, maxTimeout);
    if (checked?.ok === false) {
      const faults = [{ path: 'timeout', detail: checked.detail }];
      throw new ApiError({ kind: 'invalid', faults });
    }
    if (create === 'token') {
      throw new ApiError({ kind: 'conflict', detail: 'This template is for tokens alone.' });
    }
    if (!keys.hasKeys) {
      throw new ApiError({ kind: 'conflict', detail: 'EPHEMERA_SIGNING_KEYS is not set.' });
    }
    const by = principalOf(ctx);
    const id = randomBytes(12).toString('base64url');
    const expiresAt = (await instances.now()) + validFor * 1000;
    const claims = { id, by: by.name, template, timeout, uses, expiresAt };
    logger.info({ link: id, template, uses, expiresAt, by: principalKey(by) }, 'link made');
    ctx.status = 201;
    ctx.body = {
      id,
      url: `${publicUrl}/new?link=${writeLink(keys, claims)}`,
      template,
      timeout,
      uses,
      expiresAt: new Date(expiresAt).toISOString(),
    } satisfies LinkResource;
  });
  return router;
}
