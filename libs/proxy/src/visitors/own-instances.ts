import type { SigningKeys } from '@ephemera/config';
import { isId } from '@ephemera/domain';

/**
 * The cookie that lists the instances that a browser has started, each with a signature over its id.
 * It proves the start without anything in Redis. It is sent below the prefix only, and never
 * forwarded to an instance.
 */
const COOKIE = 'ephemera-instances';

/** The newest instances that the cookie lists. It is sent with each request of the path form. */
const MAX_OWN_INSTANCES = 8;

/**
 * A page of an instance can set cookies of the same name, by another path or for the parent domain.
 * They verify only with ids whose signature it knows. More of them are not looked at.
 */
const MAX_COOKIES = 4;

/** The instances that a browser has started, by their ids, the newest first. */
export function ownInstances(cookie: string | undefined, keys: SigningKeys): string[] {
  if (cookie?.includes(COOKIE) !== true || !keys.hasKeys) return [];
  const values = cookie
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`))
    .slice(0, MAX_COOKIES);
  const ids = values.flatMap((pair) =>
    pair
      .slice(COOKIE.length + 1)
      .split('~')
      .slice(0, MAX_OWN_INSTANCES)
      .flatMap((item) => {
        const [id = '', signature = ''] = item.split('.');
        return isId(id) && keys.hasSigned('visitor', id, signature) ? [id] : [];
      }),
  );
  return [...new Set(ids)];
}

/**
 * The `Set-Cookie` value for these ids. It ends with the session of the browser.
 * @param path where the product's pages are, such as `/demo`
 */
export function ownInstancesCookie(
  ids: readonly string[],
  keys: SigningKeys,
  { path, secure }: { readonly path: string; readonly secure: boolean },
): string {
  const items = ids.slice(0, MAX_OWN_INSTANCES).map((id) => `${id}.${keys.sign('visitor', id)}`);
  return `${COOKIE}=${items.join('~')}; Path=${path}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}
