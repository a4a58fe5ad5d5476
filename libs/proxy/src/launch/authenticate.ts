import { ApiError } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { GUESSES, bearerOf } from '@ephemera/http';
import type { TokenSet, WrongGuesses } from '@ephemera/http';

/**
 * Whose token a request carries; undefined where it carries none. An address that has sent too
 * many wrong ones is refused whatever it sends, so that it cannot try them out here.
 * @throws ApiError unauthorized, rate_limited
 */
export function authenticate(
  {
    tokens,
    authThrottle,
  }: { readonly tokens: Pick<TokenSet, 'identify'>; authThrottle: WrongGuesses },
  authorization: string | undefined,
  address: string,
): Principal | undefined {
  if (authorization === undefined) return undefined;
  if (!authThrottle.mayTry(address)) {
    throw new ApiError({
      kind: 'rate_limited',
      by: 'address',
      resetsIn: GUESSES.within / 1000,
    });
  }
  const token = bearerOf(authorization);
  const principal = token === undefined ? undefined : tokens.identify(token);
  if (principal) return principal;
  authThrottle.note(address);
  throw new ApiError({ kind: 'unauthorized' });
}
