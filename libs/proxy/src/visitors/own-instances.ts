import { timingSafeEqual } from 'node:crypto';
import type { SigningKeys } from '@ephemera/config';
import { isId } from '@ephemera/domain';

/**
 * The cookie that lists the instances that a browser has started, each with a signature over its id.
 * It proves the start without anything in Redis. It is never forwarded to an instance.
 */
const COOKIE = 'ephemera-instances';

/** The newest instances that the cookie lists. */
const MAX_OWN_INSTANCES = 8;

/** The instances of several cookies that are listed. Each is read from Redis. */
const MAX_LISTED = 32;

/** The ids of several cookies whose signatures are computed for a list, a few microseconds each. */
const MAX_CHECKED = 64;

/** Length of a signature: 32 bytes in base64url. */
const SIGNATURE_LENGTH = 43;

/** The cookie of the product's pages: its name, and how it is set. */
export interface InstancesCookie {
  readonly name: string;
  /** All that follows the value, such as `; Path=/demo; HttpOnly`. */
  readonly attributes: string;
}

/**
 * The cookie for a deployment. It ends with the session of the browser.
 *
 * Pages of instances can plant cookies of the same name, by another path or for the parent domain.
 * With a domain and TLS, the product's pages have an origin without instances, and browsers refuse to
 * plant a cookie with the prefix `__Host-` there. Otherwise the cookie is sent below the prefix only,
 * and a planted one adds ids to it.
 *
 * @param path where the product's pages are, such as `/demo`
 * @param isShared whether instances share the origin of the pages, as in path form
 */
export function instancesCookie({
  path,
  secure,
  isShared,
}: {
  readonly path: string;
  readonly secure: boolean;
  readonly isShared: boolean;
}): InstancesCookie {
  const attributes = `HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
  return secure && !isShared
    ? { name: `__Host-${COOKIE}`, attributes: `; Path=/; ${attributes}` }
    : { name: COOKIE, attributes: `; Path=${path}; ${attributes}` };
}

/** Reads and writes the cookie of a deployment. */
export interface OwnInstances {
  /** The instances that a browser has started, by their ids, the newest of each cookie first. */
  list(header: string | undefined): string[];
  /** Whether a browser has started this instance, however many ids precede it. */
  has(header: string | undefined, id: string): boolean;
  /** The `Set-Cookie` value for these ids, the newest first. */
  cookieOf(ids: readonly string[]): string;
}

/**
 * Every cookie counts, so that planted ones lock no browser out of its instances. A browser sends at
 * most one for each path above the page and for each parent domain. A list takes one id of each cookie
 * in turn, so that a long one hides no other.
 */
export function ownInstances(
  { name, attributes }: InstancesCookie,
  keys: SigningKeys,
): OwnInstances {
  const signaturesOf = (id: string) => keys.signByEach('visitor', id).map(bytesOf);
  return {
    list(header) {
      const cookies = itemsOf(header, name);
      const signatures = new Map<string, Buffer[]>();
      const found = new Set<string>();
      for (let i = 0; i < MAX_OWN_INSTANCES; i++) {
        for (const item of cookies.flatMap((items) => items.slice(i, i + 1))) {
          if (found.size === MAX_LISTED || signatures.size === MAX_CHECKED) return [...found];
          const expected = signatures.get(item.id) ?? signaturesOf(item.id);
          signatures.set(item.id, expected);
          if (matches(item.signature, expected)) found.add(item.id);
        }
      }
      return [...found];
    },
    has(header, id) {
      const items = itemsOf(header, name)
        .flat()
        .filter((item) => item.id === id);
      if (items.length === 0) return false;
      const expected = signaturesOf(id);
      return items.some(({ signature }) => matches(signature, expected));
    },
    cookieOf(ids) {
      const items = ids
        .slice(0, MAX_OWN_INSTANCES)
        .map((id) => `${id}.${keys.sign('visitor', id)}`);
      return `${name}=${items.join('~')}${attributes}`;
    },
  };
}

interface Item {
  readonly id: string;
  readonly signature: string;
}

/** The items of each cookie of this name that may be genuine. No signature is verified. */
function itemsOf(header: string | undefined, name: string): Item[][] {
  if (header?.includes(`${name}=`) !== true) return [];
  return header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) =>
      pair
        .slice(name.length + 1)
        .split('~', MAX_OWN_INSTANCES)
        .flatMap((item) => {
          const [id = '', signature = ''] = item.split('.');
          return isId(id) && signature.length === SIGNATURE_LENGTH ? [{ id, signature }] : [];
        }),
    );
}

/** One byte for each character, so that texts of one length have the length that the comparison requires. */
const bytesOf = (text: string) => Buffer.from(text, 'latin1');

function matches(signature: string, expected: readonly Buffer[]): boolean {
  const input = bytesOf(signature);
  return expected.some((bytes) => timingSafeEqual(bytes, input));
}
