import { basePathOf } from './instance.ts';
import type { Instance } from './instance.ts';
import { fillPlaceholders, usesPlaceholder } from './template.ts';
import type { Placeholder } from './template.ts';

/** Longest landing path as it is sent, bytes. A `Location` with it fits into every usual header limit. */
const MAX_LENGTH = 2_048;

/**
 * Why a text is no landing path; undefined if it is one. A landing path is a path below the address of
 * an instance, with an optional query and fragment.
 *
 * Browsers change URLs before they use them (WHATWG URL, section 4.4): they remove tabs and line
 * breaks, take `\` for `/`, and resolve `.` and `..`, also as `%2e`. So none of these may occur: the
 * result could name another host, or a path of another instance. Encoded slashes at the beginning are
 * refused because servers decode them.
 */
export function landingPathIssue(text: string): string | undefined {
  if (!text.startsWith('/')) {
    return 'must be a path below the address of the instance that begins with /, such as /lab';
  }
  if (!text.isWellFormed() || /\p{Cc}/u.test(text)) return 'must not contain control characters';
  if (encoded(text).length > MAX_LENGTH) {
    return `must have at most ${MAX_LENGTH} characters, encoded as in a URL`;
  }
  const [path = ''] = text.split(/[?#]/, 1);
  if (/^\/(?:[/\\]|%(?:25)*(?:2f|5c))/i.test(path)) {
    return 'must begin with exactly one /, also where it is encoded';
  }
  if (path.includes('\\')) return 'must not contain a backslash before the query';
  if (/%(?:25)*(?:[01][0-9a-f]|7f)/i.test(path)) return 'must not contain control characters';
  if (path.split(/\/|%(?:25)*(?:2f|5c)/i).some(isDotSegment)) {
    return 'must not contain a segment . or .., also where it is encoded';
  }
  if (/[?&]ephemera-token(?:[=&#]|$)/.test(text)) return 'must not contain ephemera-token';
  return undefined;
}

function isDotSegment(segment: string): boolean {
  return /^(?:\.|%(?:25)*2e){1,2}$/i.test(segment);
}

/** Values like those of an instance in path form, to check a text with placeholders. */
const SAMPLE: Readonly<Record<Placeholder, string>> = {
  id: 'id',
  port: '80',
  basePath: '/demo/id',
  url: 'http://localhost/demo/id/',
  token: 'token',
};

/** Like `landingPathIssue`, for `open` of a template, which may contain placeholders. */
export function openIssue(text: string): string | undefined {
  return landingPathIssue(text.startsWith('/') ? fillPlaceholders(text, SAMPLE) : text);
}

/**
 * The URL at which a person opens an instance: at the path of its creation, else at `open` of its
 * template, else its base address.
 *
 * @param token the value of `{token}`, for the client that started the instance. Without it, an `open`
 * that contains `{token}` does not apply, because the token is a secret.
 */
export function landingUrl(
  instance: Pick<Instance, 'id' | 'url' | 'path' | 'template'>,
  token?: string,
): string {
  const { url, path = openPath(instance, token) } = instance;
  return path === undefined ? url : url.replace(/\/$/, '') + encoded(path);
}

function openPath(
  { id, url, template: { open, port } }: Pick<Instance, 'id' | 'url' | 'template'>,
  token: string | undefined,
): string | undefined {
  if (open === undefined) return undefined;
  if (token === undefined && usesPlaceholder([open], 'token')) return undefined;
  const basePath = basePathOf({ url });
  return fillPlaceholders(open, { id, port: String(port), basePath, url, token: token ?? '' });
}

/** A URL has only visible ASCII characters. What is encoded already stays. */
function encoded(path: string): string {
  return path.replace(/[^!-~]/gu, encodeURIComponent);
}

/** A named port of an instance, with its address for visitors. */
export interface PortAddress {
  readonly port: number;
  /** With a trailing slash. */
  readonly url: string;
}

/**
 * The addresses of all ports of an instance, by name: `/demo/{id}:api/`, or `api-{id}.DOMAIN` in host
 * form; for a name `/demo/@NAME:api/` or `api--NAME.DOMAIN`. The first port is the main port, which has the address of the instance.
 */
export function portAddresses({
  url,
  name: stableName,
  template: { ports },
}: Pick<Instance, 'url' | 'template' | 'name'>): Record<string, PortAddress> {
  const isHostForm = basePathOf({ url }) === '';
  const [main] = Object.keys(ports);
  const separator = stableName === undefined ? '-' : '--';
  const addressOf = (name: string) => {
    if (name === main) return url;
    return isHostForm
      ? url.replace('://', `://${name}${separator}`)
      : `${url.replace(/\/$/, '')}:${name}/`;
  };
  return Object.fromEntries(
    Object.entries(ports).map(([name, port]) => [name, { port, url: addressOf(name) }]),
  );
}
