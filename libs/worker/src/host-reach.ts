import type { Issue, Reach } from '@ephemera/domain';
import type { PortRange } from '@ephemera/store';
import { BLOCKED_RANGES, isInRanges } from './blocked-ranges.ts';

/** How proxies reach the instances of this host. */
export type HostReach =
  /** At the address of the container, from the machine of the host. */
  | { readonly kind: 'bridge' }
  /** At the address of the container, from machines that route through this one. */
  | { readonly kind: 'routed'; readonly proxies: readonly string[] }
  /** At ports of an address of this machine. */
  | {
      readonly kind: 'published';
      readonly address: string;
      readonly ports: PortRange;
      /** IPv4 ranges that may connect. Empty only if `address` is a loopback address. */
      readonly proxies: readonly string[];
    };

export const BRIDGE: HostReach = { kind: 'bridge' };

/** The settings that determine the reach, as they were given. */
export interface ReachSettings {
  readonly reach: Reach;
  readonly advertise: string | undefined;
  readonly ports: PortRange;
  readonly proxies: readonly string[] | undefined;
  readonly firewall: 'auto' | 'required' | 'off';
  /** Ranges that no instance may reach, in addition to `BLOCKED_RANGES`. */
  readonly blocked: readonly string[];
}

/** Default of `EPHEMERA_PUBLISHED_PORTS`: below the ports that Linux gives to outgoing connections. */
export const PUBLISHED_PORTS: PortRange = { first: 20_000, last: 32_767 };

/** The widest range of proxies, such as `10.0.0.0/8`. A few wider ones would admit every address. */
const MIN_PREFIX = 8;

/** A range with fewer ports would reuse a port while a proxy may still use a route to it. */
const MIN_PORTS = 4_096;

/** Parses `20000-32767`. Undefined if the text is no range of at least 4,096 ports from 1,024. */
export function parsePortRange(text: string): PortRange | undefined {
  const [, from, to] = /^(\d{4,5})-(\d{4,5})$/.exec(text) ?? [];
  const range = { first: Number(from), last: Number(to) };
  return range.first >= 1_024 && range.last - range.first + 1 >= MIN_PORTS && range.last <= 65_535
    ? range
    : undefined;
}

/** Combines the settings. Returns every error if they do not fit together. */
export function hostReach(settings: ReachSettings): HostReach | readonly Issue[] {
  const { reach, advertise, ports, proxies } = settings;
  const issues = [...reachIssues(settings)];
  if (issues.length > 0) return issues;
  if (reach === 'bridge') return BRIDGE;
  if (reach === 'routed') return { kind: reach, proxies: proxies ?? [] };
  return { kind: reach, address: advertise ?? '', ports, proxies: proxies ?? [] };
}

function* reachIssues(settings: ReachSettings): Generator<Issue> {
  const { reach, advertise, proxies, firewall, blocked } = settings;
  const issue = (path: string, detail: string): Issue => ({ path, detail });
  if (advertise !== undefined && reach !== 'published') {
    yield issue('EPHEMERA_ADVERTISE', `has no effect with EPHEMERA_REACH=${reach}; set published`);
  }
  if (reach === 'bridge') {
    if (proxies === undefined) return;
    yield issue(
      'EPHEMERA_PROXIES',
      'has no effect with EPHEMERA_REACH=bridge; set published or routed',
    );
    return;
  }
  if (firewall === 'off') {
    yield issue(
      'EPHEMERA_FIREWALL',
      `must not be off with EPHEMERA_REACH=${reach}: without the firewall rules, every machine could connect to the instances`,
    );
  }
  const wide = proxies?.find((range) => Number(range.split('/')[1]) < MIN_PREFIX);
  if (wide !== undefined) {
    yield issue('EPHEMERA_PROXIES', `${wide} is wider than /${MIN_PREFIX}`);
  }
  const isLocal = advertise !== undefined && isInRanges(advertise, ['127.0.0.0/8']);
  if (proxies === undefined && !(reach === 'published' && isLocal)) {
    yield issue(
      'EPHEMERA_PROXIES',
      `is required with EPHEMERA_REACH=${reach}: the addresses of the machines with proxies, such as 10.0.0.11/32,10.0.0.12/32. Only these may connect to the instances`,
    );
  }
  if (reach === 'routed') return;
  if (advertise === undefined) {
    yield issue(
      'EPHEMERA_ADVERTISE',
      'is required with EPHEMERA_REACH=published: the address of this machine at which proxies reach it, such as 10.0.0.21',
    );
  } else if (!isInRanges(advertise, [...BLOCKED_RANGES, ...blocked])) {
    yield issue(
      'EPHEMERA_ADVERTISE',
      `${advertise} is not a private address, so instances with egress on other hosts could connect to it. Use an address of a private network, or add the addresses of all hosts to EPHEMERA_EGRESS_BLOCK on each host`,
    );
  }
}
