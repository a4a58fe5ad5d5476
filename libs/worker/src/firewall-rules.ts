import { BLOCKED_RANGES } from './blocked-ranges.ts';
import type { InstancesNetwork } from './docker/instances-network.ts';
import { BRIDGE } from './host-reach.ts';
import type { HostReach } from './host-reach.ts';
import { reachRules, reject } from './reach-rules.ts';

/** The egress settings of a worker. */
export interface EgressRules {
  /** Addresses of DNS resolvers that instances with egress may use, even in blocked ranges. */
  readonly resolvers: readonly string[];
  /** Blocked ranges in addition to `BLOCKED_RANGES`. */
  readonly blocked: readonly string[];
}

/** What the rules of a bridge take from its host. */
export interface HostRules {
  /** Default: `bridge`. */
  readonly reach?: HostReach;
  /** The bridges of the other networks for instances. Default: none. */
  readonly otherBridges?: readonly string[];
}

/**
 * The resolver of instances without egress. It does not exist (TEST-NET-1, RFC 5737). The rules
 * redirect its queries to the responder of the worker. Without an explicit resolver, Docker's DNS
 * server at 127.0.0.11 could forward queries from the host's network namespace, where no rule
 * applies, and DNS could be used to exfiltrate data.
 */
export const NO_RESOLVER = '192.0.2.1';

/**
 * The datagrams, and the connections, per second that the responder of one bridge gets. On the host it
 * runs in the process of the worker, and takes about 20 µs for a query.
 */
const MAX_QUERIES = '-m limit --limit 1000/s --limit-burst 1000';

/**
 * Returns a shell script that sets the `iptables` rules of one bridge. It is idempotent. It first
 * checks that the rules would take effect, and fails if not. It prints `put first: TABLES CHAIN`
 * for each jump that was not at the top of its chain.
 *
 * Within the bridge: only traffic from and to the infrastructure's /24. From the bridge to the
 * host: replies, and names at port 53 of the gateway. From the bridge outwards: replies, and the
 * ranges that egress allows. Towards the bridge: connections of proxies as the reach of the host
 * requires, and replies. IPv6: nothing. What an instance may not reach is rejected, so that it does
 * not wait.
 *
 * @param namesPort the port of the responder at the gateway. It is not 53: another resolver of the
 * host may listen there, which an instance must never reach.
 */
export function firewallScript(
  network: InstancesNetwork,
  egress: EgressRules,
  namesPort?: number,
  { reach = BRIDGE, otherBridges = [] }: HostRules = {},
): string {
  const admitted = reachRules(network, reach, otherBridges);
  const { forward, input, names, raw } = chainsOf(network);
  const { bridge, gateway, infrastructure, open } = network;
  const known = '-m conntrack --ctstate ESTABLISHED,RELATED';
  const resolvers = egress.resolvers.flatMap((address) =>
    ['udp', 'tcp'].map((text) => `-s ${open.subnet} -d ${address} -p ${text} --dport 53 -j RETURN`),
  );
  const blocked = [...BLOCKED_RANGES, ...egress.blocked];
  return [
    'set -e',
    checkHostScript(bridge),
    PUT_FIRST_SCRIPT,
    ...fill('iptables', forward, [
      `-i ${bridge} -o ${bridge} -s ${infrastructure} -j ACCEPT`,
      `-i ${bridge} -o ${bridge} -d ${infrastructure} ${known} -j ACCEPT`,
      ...reject(`-i ${bridge} -o ${bridge}`),
      ...admitted.forward,
      `! -i ${bridge} -j RETURN`,
      `${known} -j RETURN`,
      ...resolvers,
      ...blocked.flatMap((range) => reject(`-d ${range}`)),
      ...reject(`! -s ${open.subnet}`),
    ]),
    ...fill('iptables', input, [
      ...(namesPort === undefined ? [] : acceptNames(bridge, namesPort)),
      `-i ${bridge} ${known} -j ACCEPT`,
      ...reject(`-i ${bridge}`),
      ...admitted.input,
    ]),
    ...fill(
      'iptables',
      names,
      namesPort === undefined ? [] : redirectNames(bridge, gateway, namesPort),
      'nat',
    ),
    jump('iptables', 'DOCKER-USER', forward),
    // A rule before DOCKER-USER could accept traffic that these rules drop.
    `is_first iptables$kind FORWARD DOCKER-USER filter || ${jump('iptables', 'FORWARD', forward)}`,
    jump('iptables', 'INPUT', input),
    // Docker's rules would redirect a port 53 that a container publishes.
    jump('iptables', 'PREROUTING', names, 'nat'),
    'if iptables$kind -w 5 -t raw -S PREROUTING >/dev/null 2>&1; then',
    ...fill('iptables', raw, leaveToForward(network, blocked), 'raw'),
    jump('iptables', 'PREROUTING', raw, 'raw'),
    'fi',
    'if [ -e /proc/net/if_inet6 ]; then',
    ...fill('ip6tables', forward, [`-i ${bridge} -j DROP`, `-o ${bridge} -j DROP`]),
    ...fill('ip6tables', input, [`-i ${bridge} -j DROP`]),
    jump('ip6tables', 'FORWARD', forward),
    jump('ip6tables', 'INPUT', input),
    'fi',
  ].join('\n');
}

/**
 * Docker 28 and later drops packets for the containers of other networks in the table `raw`, which
 * cannot reject: a connection there would hang. These rules let pass what the chain of FORWARD
 * rejects.
 */
function leaveToForward(
  { bridge, open }: Pick<InstancesNetwork, 'bridge' | 'open'>,
  blocked: readonly string[],
): string[] {
  return [`! -s ${open.subnet}`, ...blocked.map((range) => `-d ${range}`)].map(
    (match) => `-i ${bridge} ${match} -j ACCEPT`,
  );
}

/** Sends the name queries of instances to the responder. */
function redirectNames(bridge: string, gateway: string, port: number): string[] {
  return [gateway, NO_RESOLVER].flatMap((address) =>
    ['udp', 'tcp'].map(
      (text) =>
        `-i ${bridge} -d ${address} -p ${text} --dport 53 -j DNAT --to-destination ${gateway}:${port}`,
    ),
  );
}

/** Accepts redirected queries only. The limit comes before replies, because UDP has no connections. */
function acceptNames(bridge: string, port: number): string[] {
  const redirected = '-m conntrack --ctstate DNAT';
  return [
    `-i ${bridge} -p udp --dport ${port} ${redirected} ${MAX_QUERIES} -j ACCEPT`,
    `-i ${bridge} -p udp --dport ${port} -j DROP`,
    // The other packets of a connection match as known.
    `-i ${bridge} -p tcp --dport ${port} --syn ${redirected} ${MAX_QUERIES} -j ACCEPT`,
  ];
}

/**
 * Returns a script that prints the names of all chains that {@link firewallScript} may have
 * created.
 */
export function firewallListScript(): string {
  return KINDS.flatMap((name) =>
    TABLES.map(
      (table) =>
        `! command -v ${name} >/dev/null || ${name} -w 5 -t ${table} -S 2>/dev/null | grep '^-N EPHEMERA-' || true`,
    ),
  ).join('\n');
}

/** The bridges that have rules, from the output of {@link firewallListScript}, in lower case. */
export function bridgesWithRules(printed: string): string[] {
  const chains = Array.from(
    printed.matchAll(/^-N EPHEMERA-(\S+)-[FINR]$/gm),
    ([, name = '']) => name,
  );
  return [...new Set(chains.map((name) => name.toLowerCase()))];
}

const KINDS = ['iptables', 'ip6tables'].flatMap((name) =>
  ['', '-nft', '-legacy'].map((kind) => name + kind),
);

const TABLES = ['filter', 'nat', 'raw'];

/** Returns a script that removes the rules of one bridge. */
export function firewallRemovalScript(network: Pick<InstancesNetwork, 'bridge'>): string {
  const { forward, input, names, raw } = chainsOf(network);
  const jumps = [
    ['filter', 'DOCKER-USER', forward],
    ['filter', 'FORWARD', forward],
    ['filter', 'INPUT', input],
    ['nat', 'PREROUTING', names],
    ['raw', 'PREROUTING', raw],
  ] as const;
  return KINDS.flatMap((name) => [
    `if command -v ${name} >/dev/null; then`,
    ...jumps.map(
      ([table, from, to]) =>
        `while ${name} -w 5 -t ${table} -D ${from} -j ${to} 2>/dev/null; do :; done`,
    ),
    ...jumps.flatMap(([table, , chain]) => [
      `${name} -w 5 -t ${table} -F ${chain} 2>/dev/null || true`,
      `${name} -w 5 -t ${table} -X ${chain} 2>/dev/null || true`,
    ]),
    'fi',
  ]).join('\n');
}

/**
 * Selects the iptables backend of the daemon (nf_tables or legacy). Rules in the other backend
 * would see no packets. The chain DOCKER-USER identifies it.
 */
function checkHostScript(bridge: string): string {
  return `
fail() { echo "$1" >&2; exit 1; }
[ -e /proc/sys/net/ipv4/conf/${bridge} ] ||
  fail 'the bridge ${bridge} is not on this machine: the Docker daemon runs in another network namespace'
said=$(iptables -w 5 -S FORWARD 2>&1 >/dev/null) || case "$(id -u) $said" in
  '0 '*'not found'*) fail 'iptables is not installed' ;;
  '0 '*[Pp]'ermission denied'* | '0 '*'not permitted'*)
    fail 'this process may not change the firewall: it needs the capability NET_ADMIN, or EPHEMERA_FIREWALL_IMAGE' ;;
  '0 '*) ;;
  *) fail 'the user of this process is not root, and only root may change the firewall: run as root, or set EPHEMERA_FIREWALL_IMAGE to an image with iptables' ;;
esac
for kind in '' -nft -legacy none; do
  [ "$kind" != none ] || fail 'the Docker daemon sets no iptables rules here (no DOCKER-USER chain)'
  ! iptables$kind -w 5 -C FORWARD -j DOCKER-USER 2>/dev/null || break
done
[ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] ||
  fail 'net.bridge.bridge-nf-call-iptables is not 1, so bridged packets would bypass the rules'
`;
}

/** A chain name has at most 28 characters. The bridge name is unique and has at most 15. */
function chainsOf({ bridge }: Pick<InstancesNetwork, 'bridge'>) {
  const name = `EPHEMERA-${bridge.toUpperCase()}`;
  return { forward: `${name}-F`, input: `${name}-I`, names: `${name}-N`, raw: `${name}-R` };
}

/** Sets all rules of a chain in one transaction, so that it is never incomplete. */
function fill(tables: string, chain: string, rules: readonly string[], table = 'filter'): string[] {
  return [
    `${tables}$kind-restore -w 5 --noflush <<RULES`,
    `*${table}`,
    `:${chain} - [0:0]`,
    `-F ${chain}`,
    ...rules.map((rule) => `-A ${chain} ${rule}`),
    'COMMIT',
    'RULES',
  ];
}

/** Puts the jump first in the chain, before all other rules. */
function jump(tables: string, from: string, to: string, table = 'filter'): string {
  return `put_first ${tables}$kind ${from} ${to} ${table}`;
}

/**
 * Moves a jump back to the top if other rules were inserted before it. Jumps of other bridges may
 * precede it: otherwise two workers would move their jumps for ever.
 */
const PUT_FIRST_SCRIPT = `
is_first() {
  rules=$($1 -w 5 -t "$4" -S "$2") || exit 1
  while read -r _ _ rule; do
    case "$rule" in
      "-j $3") return 0 ;;
      '' | ACCEPT | DROP | "-j EPHEMERA-"*) ;;
      *) return 1 ;;
    esac
  done <<RULES
$rules
RULES
  return 1
}
put_first() {
  ! is_first "$@" || return 0
  if $1 -w 5 -t "$4" -C "$2" -j "$3" 2>/dev/null; then
    # In one transaction, so that the jump is never missing.
    printf '%s\\n' "*$4" "-D $2 -j $3" "-I $2 -j $3" COMMIT | $1-restore -w 5 --noflush
  else
    $1 -w 5 -t "$4" -I "$2" -j "$3"
  fi
  echo "put first: $1 $2"
}
`;
