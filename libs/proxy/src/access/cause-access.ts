import type { IncomingMessage } from 'node:http';
import { ApiError, allows, isOwner } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { identifyThrottled } from '@ephemera/http';
import type { AuthThrottle, TokenSet } from '@ephemera/http';
import type { InstanceStore, RouteCache } from '@ephemera/store';
import { presentedTokens } from './access-token.ts';
import { checkAccess } from './check-access.ts';

export interface CauseAccess {
  readonly routes: Pick<RouteCache, 'find'>;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly tokens: Pick<TokenSet, 'identify'>;
  readonly authThrottle: AuthThrottle;
  /** Returns the client address behind trusted proxies. */
  readonly addressOf: (req: IncomingMessage) => string;
}

/**
 * Decides who sees why an instance failed a request on the public port: its owner, and every token
 * that may read it in the control API. The owner of a guarded instance presents its access token, by
 * cookie or header. For other instances the header `Ephemera-Token` carries a token of the control
 * API; `Authorization` belongs to the application and would reach the container.
 *
 * @returns false for every other visitor, and where Redis cannot be asked
 */
export function causeAccess({ routes, instances, tokens, authThrottle, addressOf }: CauseAccess) {
  return async (req: IncomingMessage, id: string): Promise<boolean> => {
    const presented = presentedTokens(req.headers, '');
    const [token] = presented?.tokens ?? [];
    if (presented === undefined || token === undefined) return false;
    try {
      const route = (await routes.find(id))?.route;
      if (route?.access !== undefined) {
        return checkAccess({ headers: req.headers }, route).kind === 'token_presented';
      }
      if (presented.by !== 'header') return false;
      const identify = () => tokens.identify(token);
      const principal = await identifyThrottled(authThrottle, addressOf(req), identify);
      return allows(principal, 'read') || (await ownsInstance(instances, principal, id));
    } catch (error) {
      // A wrong token, too many of them, or no Redis: the response has no reason then.
      if (error instanceof ApiError) return false;
      throw error;
    }
  };
}

/** Whether a token of scope `create` has started the instance. */
export async function ownsInstance(
  instances: Pick<InstanceStore, 'get'>,
  principal: Principal,
  id: string,
): Promise<boolean> {
  if (!allows(principal, 'create')) return false;
  const instance = await instances.get(id);
  return instance !== undefined && isOwner(principal, instance);
}
