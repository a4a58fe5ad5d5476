import { ApiError, principalKey, allows, isId } from '@ephemera/domain';
import type { Scope } from '@ephemera/domain';
import type { InstanceStore } from '@ephemera/store';
import type { Middleware } from 'koa';
import { principalOf } from './require-token.ts';

/** What any token may ask for: how to ask, and what for. */
const OPEN = ['/openapi.json', '/v1/templates'];
const CREATING = ['/v1/instances', '/v1/links'];
const ONE = /^\/v1\/instances\/([^/]+)(?:\/[a-z]+)?$/;

/**
 * Lets pass whom the scopes of their token let: looking needs `read`, changing `admin`, starting
 * `create`, which also opens the instances that were started with it. What is not named here, in
 * these very letters, is not opened by it.
 * @throws ApiError forbidden, alike for an instance of somebody else and for none
 */
export function requireScope(instances: Pick<InstanceStore, 'get'>): Middleware {
  return async (ctx, next) => {
    const principal = principalOf(ctx);
    const needs = scopeFor(ctx.method, ctx.path);
    if (needs !== undefined && !allows(principal, needs)) {
      const id = ONE.exec(ctx.path)?.[1] ?? '';
      const isOwn =
        allows(principal, 'create') &&
        isId(id) &&
        (await instances.get(id))?.owner === principalKey(principal);
      if (!isOwn) throw new ApiError({ kind: 'forbidden', needs });
    }
    await next();
  };
}

/** The scope that a request needs; undefined: any. */
export function scopeFor(method: string, path: string): Scope | undefined {
  const isLook = method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
  if (isLook) return OPEN.includes(path) ? undefined : 'read';
  return method === 'POST' && CREATING.includes(path) ? 'create' : 'admin';
}
