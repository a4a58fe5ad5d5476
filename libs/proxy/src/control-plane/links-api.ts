import { randomBytes } from 'node:crypto';
import { MAKE_A_KEY } from '@ephemera/config';
import type { SigningKeys } from '@ephemera/config';
import { type LinkResource, adminRoutes } from '@ephemera/contract';
import { ApiError, principalKey, checkTimeout } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { InstanceStore } from '@ephemera/store';
import { writeLink } from '../starting/signed-link.ts';
import { type Starter, chosenTemplate } from '../starting/start-instance.ts';
import { principalOf } from '@ephemera/http';

export interface LinksApi {
  readonly starter: Pick<Starter, 'templates'>;
  readonly instances: Pick<InstanceStore, 'now'>;
  readonly keys: SigningKeys;
  /** The URL under which visitors start instances, without `/new`. */
  readonly publicUrl: string;
  readonly logger: Logger;
}

/**
 * `/v1/links`: signed links. They start instances that count against the quota of the token that
 * created them.
 */
export function linkRoutes(api: LinksApi): BoundRoute[] {
  const { starter, instances, keys, publicUrl, logger } = api;
  const create = route(adminRoutes.createLink, async (ctx, { body: asked }) => {
    const { timeout, uses, validFor, path } = asked;
    const {
      name: template,
      create: mayCreate,
      maxTimeout,
    } = chosenTemplate(starter.templates, asked.template);
    const checked = timeout === undefined ? undefined : checkTimeout(timeout, maxTimeout);
    if (checked?.ok === false) {
      const faults = [{ path: 'timeout', detail: checked.detail }];
      throw new ApiError({ kind: 'invalid', faults });
    }
    if (mayCreate === 'token') {
      throw new ApiError({
        kind: 'conflict',
        detail: 'Only a token can start this template; a link cannot.',
      });
    }
    if (!keys.hasKeys) {
      const detail = `A signed link needs EPHEMERA_SIGNING_KEYS, which is not set on the proxy. Set the same value on all replicas and restart them. ${MAKE_A_KEY}`;
      throw new ApiError({ kind: 'conflict', detail });
    }
    const by = principalOf(ctx);
    const id = randomBytes(12).toString('base64url');
    const expiresAt = (await instances.now()) + validFor * 1000;
    const claims = { id, by: by.name, template, timeout, uses, expiresAt };
    logger.info({ link: id, template, uses, expiresAt, by: principalKey(by) }, 'link created');
    const query = new URLSearchParams({ link: writeLink(keys, claims) });
    if (path !== undefined) query.set('path', path);
    ctx.status = 201;
    ctx.body = {
      id,
      url: `${publicUrl}/new?${query.toString()}`,
      template,
      timeout,
      uses,
      expiresAt: new Date(expiresAt).toISOString(),
    } satisfies LinkResource;
  });
  return [create];
}
