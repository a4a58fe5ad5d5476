import { FailureError } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { GUESSES, bearerOf } from '@ephemera/http';
import type { TokenSet, WrongGuesses } from '@ephemera/http';

/**
 * Whose token a request carries; undefined where it carries none. An address that has sent too
 * many wrong ones is refused whatever it sends, so that it cannot try them out here.
 * @throws FailureError unauthorized, rate_limited
 */
export function readHolder(
  { tokens, guesses }: { readonly tokens: Pick<TokenSet, 'identify'>; guesses: WrongGuesses },
  authorization: string | undefined,
  address: string,
): Principal | undefined {
  if (authorization === undefined) return undefined;
  if (!guesses.mayTry(address)) {
    throw new FailureError({
      kind: 'rate_limited',
      by: 'address',
      resetsIn: GUESSES.within / 1000,
    });
  }
  const token = bearerOf(authorization);
  const holder = token === undefined ? undefined : tokens.identify(token);
  if (holder) return holder;
  guesses.note(address);
  throw new FailureError({ kind: 'unauthorized' });
}
