import { isName, nameReference } from '@ephemera/domain';

/** The two forms of an instance's address. */
export interface AddressForms {
  /** First segment of the path form, without slashes: `demo`. */
  readonly prefix: string;
  /** Domain of the host form, in lower case, without port and final dot; undefined: path form only. */
  readonly domain: string | undefined;
  /**
   * Whether `NAME.DOMAIN` is the address of a stable name. Undefined: only `ID.DOMAIN` is an address.
   * With a domain, names then have no address at all: the path form would only redirect there.
   */
  readonly hostNames?: {
    /** The host of the public URL, which has no instance, in lower case without port. */
    readonly except: string;
  };
}

/** The instance that a request is for. */
export interface Address {
  /** Of a name whose instance is not known yet: its reference `@NAME`. */
  readonly id: string;
  /** The stable name by which the request names the instance. */
  readonly name?: string;
  /** Name or number of a port; undefined: the main port. */
  readonly port: string | undefined;
  /**
   * The part before the instance's own path in path form: `/demo/{id}` or `/demo/@{name}`; empty in
   * host form.
   */
  readonly prefix: string;
  /** Path and query below the prefix, as sent; it begins without a slash only for `/demo/{id}`. */
  readonly path: string;
}

const ID_LENGTH = 26;
const ID = /^[a-z][a-z0-9]{25}$/;
const PORT = /^[a-zA-Z0-9][a-zA-Z0-9-]{0,31}$/;
const HOST_LABEL = /^(?:([a-z0-9][a-z0-9-]{0,31})-)?([a-z][a-z0-9]{25})$/;

/**
 * Finds the instance that a request is for by the raw bytes of its target and Host. Nothing is decoded
 * or normalised, so no other spelling of an id matches. Returns undefined if it names no instance.
 */
export function readAddress(
  target: string,
  host: string,
  forms: AddressForms,
): Address | undefined {
  if (forms.domain !== undefined) {
    const label = hostLabel(host, forms.domain);
    if (label !== undefined) {
      return inHost(label, target, forms.prefix) ?? inNamedHost(label, target, forms);
    }
  }
  const address = inPath(target, forms.prefix);
  const hasNames = forms.domain === undefined || forms.hostNames !== undefined;
  return address?.name === undefined || hasNames ? address : undefined;
}

/**
 * Whether a request is for the product: below the prefix of the path form, or on the origin of an
 * instance. Undefined: neither.
 */
export function readForm(
  target: string,
  host: string,
  forms: AddressForms,
): 'path' | 'host' | undefined {
  const { prefix, domain } = forms;
  const label = domain === undefined ? undefined : hostLabel(host, domain);
  if (label !== undefined && HOST_LABEL.test(label)) return 'host';
  if (label !== undefined && nameInLabel(label, forms) !== undefined) return 'host';
  if (!target.startsWith(`/${prefix}`)) return undefined;
  const next = target.charCodeAt(prefix.length + 1);
  const isWhole = next === 0x2f || next === 0x3f || target.length === prefix.length + 1;
  return isWhole ? 'path' : undefined;
}

function inPath(target: string, prefix: string): Address | undefined {
  const start = prefix.length + 2;
  if (target.charCodeAt(start - 1) !== 0x2f || !target.startsWith(prefix, 1)) return undefined;
  const idEnd = start + ID_LENGTH;
  const id = target.slice(start, idEnd);
  if (!ID.test(id)) return inNamedPath(target, start);
  let end = idEnd;
  let port: string | undefined;
  if (target.charCodeAt(idEnd) === 0x3a) {
    end = segmentEnd(target, idEnd);
    port = target.slice(idEnd + 1, end);
    if (!PORT.test(port)) return undefined;
  }
  const next = target.charCodeAt(end);
  if (next !== 0x2f && next !== 0x3f && end !== target.length) return undefined;
  return { id, port, prefix: target.slice(0, end), path: target.slice(end) };
}

/** `/demo/@NAME` and `/demo/@NAME:PORT`. @param start where the segment of the name begins */
function inNamedPath(target: string, start: number): Address | undefined {
  if (target.charCodeAt(start) !== 0x40) return undefined;
  const end = segmentEnd(target, start);
  const segment = target.slice(start + 1, end);
  const colon = segment.indexOf(':');
  const name = colon === -1 ? segment : segment.slice(0, colon);
  const port = colon === -1 ? undefined : segment.slice(colon + 1);
  if (!isName(name) || (port !== undefined && !PORT.test(port))) return undefined;
  return { ...named(name, port), prefix: target.slice(0, end), path: target.slice(end) };
}

function named(name: string, port: string | undefined): Pick<Address, 'id' | 'name' | 'port'> {
  return { id: nameReference(name), name, port };
}

function segmentEnd(target: string, from: number): number {
  for (let at = from; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code === 0x2f || code === 0x3f) return at;
  }
  return target.length;
}

/** All paths belong to the instance but those of `instancePath`: the product's pages about it. */
function inHost(label: string, target: string, prefix: string): Address | undefined {
  const match = HOST_LABEL.exec(label);
  const id = match?.[2];
  if (id === undefined || isBelow(target, `/${prefix}/-/${id}`)) return undefined;
  return { id, port: match?.[1], prefix: '', path: target };
}

/** As `inHost`, for `NAME` and `PORT--NAME`. Every id may occur in the product's own path. */
function inNamedHost(label: string, target: string, forms: AddressForms): Address | undefined {
  const found = nameInLabel(label, forms);
  if (found === undefined) return undefined;
  const { prefix } = forms;
  const start = `/${prefix}/-/`.length;
  const id = target.slice(start, start + ID_LENGTH);
  if (ID.test(id) && isBelow(target, `/${prefix}/-/${id}`)) return undefined;
  return { ...found, prefix: '', path: target };
}

function nameInLabel(
  label: string,
  { hostNames, domain }: AddressForms,
): Pick<Address, 'id' | 'name' | 'port'> | undefined {
  if (hostNames === undefined || `${label}.${domain}` === hostNames.except) return undefined;
  const at = label.lastIndexOf('--');
  const name = at === -1 ? label : label.slice(at + 2);
  const port = at === -1 ? undefined : label.slice(0, at);
  return isName(name) && (port === undefined || PORT.test(port)) ? named(name, port) : undefined;
}

function isBelow(target: string, path: string): boolean {
  if (!target.startsWith(path)) return false;
  const next = target.charCodeAt(path.length);
  return target.length === path.length || next === 0x2f || next === 0x3f;
}

/**
 * The part of a host before `.domain`, in lower case; undefined for other hosts. A final dot changes
 * nothing: it only says that the name is complete (RFC 1034 section 3.1).
 */
function hostLabel(host: string, domain: string): string | undefined {
  const colon = host.indexOf(':');
  const full = (colon === -1 ? host : host.slice(0, colon)).toLowerCase();
  const name = full.endsWith('.') ? full.slice(0, -1) : full;
  const at = name.length - domain.length - 1;
  return at > 0 && name.charCodeAt(at) === 0x2e && name.endsWith(domain)
    ? name.slice(0, at)
    : undefined;
}
