/** TLS material, PEM. Without a CA, the authorities of Node are trusted. */
export interface PemFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The address of Redis, and what its URL does not contain. */
export interface RedisAddress {
  /**
   * `redis://` or `rediss://` with user, password and database number, or a list of sentinels:
   * `redis-sentinel://user:password@host1:26379,host2/master/0`. User and password are those of the
   * data nodes. `rediss-sentinel://`: the data nodes use TLS.
   */
  readonly url: string;
  /** For data nodes with TLS: the trusted CA, and the client certificate with its key. */
  readonly tls?: PemFiles | undefined;
  readonly sentinel?: SentinelAccess | undefined;
}

/** How the sentinels are reached. They have their own user and their own TLS. */
export interface SentinelAccess {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Present: the sentinels use TLS. */
  readonly tls?: PemFiles | undefined;
}

export interface SentinelNode {
  readonly host: string;
  readonly port: number;
}

/** A URL of the form `redis-sentinel://`, parsed. */
export interface SentinelUrl {
  readonly sentinels: readonly SentinelNode[];
  /** The name under which the sentinels know the master. */
  readonly master: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  /** Whether the data nodes use TLS. */
  readonly isTls: boolean;
}

const SENTINEL_PORT = 26_379;
const SENTINEL_SCHEME = /^(rediss?)-sentinel:\/\//;
const HOST = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<name>[^:[\]\s/?#@]+))(?::(?<port>\d{1,5}))?$/;

export function isSentinelUrl(url: string): boolean {
  return SENTINEL_SCHEME.test(url);
}

/**
 * Parses a URL with a list of sentinels. `new URL` refuses a list of hosts with ports.
 * @throws Error whose message says what is wrong, without the password
 */
export function parseSentinelUrl(url: string): SentinelUrl {
  const scheme = SENTINEL_SCHEME.exec(url);
  const rest = url.slice(scheme?.[0].length ?? 0);
  const path = rest.indexOf('/');
  const authority = path === -1 ? rest : rest.slice(0, path);
  const at = authority.lastIndexOf('@');
  const credentials = at === -1 ? '' : authority.slice(0, at);
  const colon = credentials.indexOf(':');
  const [master = '', db = '0', ...more] = path === -1 ? [] : rest.slice(path + 1).split('/');
  if (master === '') throw new Error('must name the master: redis-sentinel://HOST,HOST/MASTER/0');
  if (more.length > 0 || !/^\d{1,5}$/.test(db)) {
    throw new Error('must end with the name of the master and a database number: /MASTER/0');
  }
  return {
    sentinels: authority
      .slice(at + 1)
      .split(',')
      .map(sentinelIn),
    master: decoded(master),
    username: orAbsent(colon === -1 ? credentials : credentials.slice(0, colon)),
    password: orAbsent(colon === -1 ? '' : credentials.slice(colon + 1)),
    db: Number(db),
    isTls: scheme?.[1] === 'rediss',
  };
}

function sentinelIn(text: string): SentinelNode {
  const { v6, name, port = String(SENTINEL_PORT) } = HOST.exec(text.trim())?.groups ?? {};
  const host = v6 ?? name;
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new Error(`"${text}" is not a sentinel such as 10.0.0.1:26379`);
  }
  return { host, port: Number(port) };
}

function orAbsent(text: string): string | undefined {
  return text === '' ? undefined : decoded(text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('has a "%" that begins no escape sequence; write it as %25');
  }
}

/** Returns what is wrong with a URL of Redis; undefined if nothing is. */
export function redisUrlIssue(url: string): string | undefined {
  if (!isSentinelUrl(url)) {
    return /^rediss?:\/\//.test(url)
      ? undefined
      : 'must be a redis://, rediss://, redis-sentinel:// or rediss-sentinel:// address';
  }
  try {
    parseSentinelUrl(url);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The URL for logs and error messages, without its password. */
export function redactRedisUrl(url: string): string {
  return url.replace(/^([a-z-]+:\/\/[^/?#:@]*:).*@/, '$1***@');
}

/**
 * The options of ioredis for an address with sentinels. Sentinels and data nodes have their own
 * credentials and TLS.
 */
export function sentinelOptions({ url, tls = {}, sentinel = {} }: RedisAddress) {
  const { sentinels, master, isTls, username, password, db } = parseSentinelUrl(url);
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    db,
    sentinels: sentinels.map((node) => ({ ...node })),
    name: master,
    enableTLSForSentinelMode: isTls,
    ...(isTls && { tls: present(tls) }),
    ...(sentinel.username !== undefined && { sentinelUsername: sentinel.username }),
    ...(sentinel.password !== undefined && { sentinelPassword: sentinel.password }),
    ...(sentinel.tls && { sentinelTLS: present(sentinel.tls) }),
  };
}

/** The options of ioredis for a connection to one sentinel. */
export function sentinelNodeOptions({ host, port }: SentinelNode, { sentinel = {} }: RedisAddress) {
  return {
    host,
    port,
    ...(sentinel.username !== undefined && { username: sentinel.username }),
    ...(sentinel.password !== undefined && { password: sentinel.password }),
    ...(sentinel.tls && { tls: present(sentinel.tls) }),
  };
}

/** The options of ioredis for the TLS of an address without sentinels. A bare `rediss://` has none. */
export function tlsOptions({ url, tls = {} }: RedisAddress) {
  return url.startsWith('rediss:') ? { tls: present(tls) } : {};
}

function present({ ca, cert, key }: PemFiles): { ca?: string; cert?: string; key?: string } {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}
