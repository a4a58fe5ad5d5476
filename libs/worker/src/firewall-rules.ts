import type { InstancesNetwork } from './docker/instances-network.ts';

/** The egress settings of a worker. */
export interface EgressRules {
  /** Addresses of DNS resolvers that instances with egress may use, even in blocked ranges. */
  readonly resolvers: readonly string[];
  /** Blocked ranges in addition to `BLOCKED_RANGES`. */
  readonly blocked: readonly string[];
}

/** Private, link-local and reserved ranges (RFC 6890). No instance can reach them. */
const BLOCKED_RANGES: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  // The metadata service of Azure, the only one at a public address.
  '168.63.129.16/32',
  // Multicast, reserved, broadcast.
  '224.0.0.0/3',
];

/**
 * Returns a shell script that sets the `iptables` rules of one bridge. It is idempotent. It first
 * checks that the rules would take effect, and fails if not. It prints `put first: TABLES CHAIN`
 * for each jump that was not at the top of its chain.
 *
 * Within the bridge: only traffic from and to the infrastructure's /24. From the bridge to the
 * host: replies only. From the bridge outwards: replies, and the ranges that egress allows. Towards
 * the bridge: connections to published ports, and replies. IPv6: nothing.
 */
export function firewallScript(network: InstancesNetwork, egress: EgressRules): string {
  const { forward, input } = chainsOf(network);
  const { bridge, infrastructure, open } = network;
  const known = '-m conntrack --ctstate ESTABLISHED,RELATED';
  const resolvers = egress.resolvers.flatMap((address) =>
    ['udp', 'tcp'].map((text) => `-s ${open.subnet} -d ${address} -p ${text} --dport 53 -j RETURN`),
  );
  return [
    'set -e',
    checkHostScript(bridge),
    PUT_FIRST_SCRIPT,
    ...fill('iptables', forward, [
      `-i ${bridge} -o ${bridge} -s ${infrastructure} -j ACCEPT`,
      `-i ${bridge} -o ${bridge} -d ${infrastructure} ${known} -j ACCEPT`,
      `-i ${bridge} -o ${bridge} -j DROP`,
      // Blocks a machine that routes through this host. Docker blocks it only if it set the FORWARD
      // policy.
      `! -i ${bridge} -o ${bridge} -m conntrack ! --ctstate ESTABLISHED,RELATED,DNAT -j DROP`,
      `! -i ${bridge} -j RETURN`,
      `${known} -j RETURN`,
      ...resolvers,
      ...[...BLOCKED_RANGES, ...egress.blocked].map((range) => `-d ${range} -j DROP`),
      `! -s ${open.subnet} -j DROP`,
    ]),
    ...fill('iptables', input, [`-i ${bridge} ${known} -j ACCEPT`, `-i ${bridge} -j DROP`]),
    jump('iptables', 'DOCKER-USER', forward),
    // A rule before DOCKER-USER could accept traffic that these rules drop.
    `is_first iptables$kind FORWARD DOCKER-USER || ${jump('iptables', 'FORWARD', forward)}`,
    jump('iptables', 'INPUT', input),
    'if [ -e /proc/net/if_inet6 ]; then',
    ...fill('ip6tables', forward, [`-i ${bridge} -j DROP`, `-o ${bridge} -j DROP`]),
    ...fill('ip6tables', input, [`-i ${bridge} -j DROP`]),
    jump('ip6tables', 'FORWARD', forward),
    jump('ip6tables', 'INPUT', input),
    'fi',
  ].join('\n');
}

/**
 * Returns a script that prints the names of all chains that {@link firewallScript} may have
 * created.
 */
export function firewallListScript(): string {
  return KINDS.map(
    (name) =>
      `! command -v ${name} >/dev/null || ${name} -w 5 -S 2>/dev/null | grep '^-N EPHEMERA-' || true`,
  ).join('\n');
}

/** The bridges of the networks that have rules, from the output of {@link firewallListScript}. */
export function bridgesWithRules(printed: string, networks: readonly InstancesNetwork[]): string[] {
  const chains = new Set(Array.from(printed.matchAll(/^-N (EPHEMERA-\S+)$/gm), ([, name]) => name));
  return networks
    .filter((network) => Object.values(chainsOf(network)).some((chain) => chains.has(chain)))
    .map(({ bridge }) => bridge);
}

const KINDS = ['iptables', 'ip6tables'].flatMap((name) =>
  ['', '-nft', '-legacy'].map((kind) => name + kind),
);

/** Returns a script that removes the rules of one bridge. */
export function firewallRemovalScript(network: InstancesNetwork): string {
  const { forward, input } = chainsOf(network);
  return KINDS.flatMap((name) => [
    `if command -v ${name} >/dev/null; then`,
    ...[
      ['DOCKER-USER', forward],
      ['FORWARD', forward],
      ['INPUT', input],
    ].map(([from, to]) => `while ${name} -w 5 -D ${from} -j ${to} 2>/dev/null; do :; done`),
    ...[forward, input].flatMap((chain) => [
      `${name} -w 5 -F ${chain} 2>/dev/null || true`,
      `${name} -w 5 -X ${chain} 2>/dev/null || true`,
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
for kind in '' -nft -legacy none; do
  [ "$kind" != none ] || fail 'the Docker daemon sets no iptables rules here (no DOCKER-USER chain)'
  ! iptables$kind -w 5 -C FORWARD -j DOCKER-USER 2>/dev/null || break
done
[ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] ||
  fail 'net.bridge.bridge-nf-call-iptables is not 1, so bridged packets would bypass the rules'
`;
}

/** A chain name has at most 28 characters. The bridge name is unique and has at most 15. */
function chainsOf({ bridge }: InstancesNetwork): { forward: string; input: string } {
  const name = `EPHEMERA-${bridge.toUpperCase()}`;
  return { forward: `${name}-F`, input: `${name}-I` };
}

/** Sets all rules of a chain in one transaction, so that it is never incomplete. */
function fill(tables: string, chain: string, rules: readonly string[]): string[] {
  return [
    `${tables}$kind-restore -w 5 --noflush <<RULES`,
    '*filter',
    `:${chain} - [0:0]`,
    `-F ${chain}`,
    ...rules.map((rule) => `-A ${chain} ${rule}`),
    'COMMIT',
    'RULES',
  ];
}

/** Puts the jump first in the chain, before all other rules. */
function jump(tables: string, from: string, to: string): string {
  return `put_first ${tables}$kind ${from} ${to}`;
}

/**
 * Moves a jump back to the top if other rules were inserted before it. Jumps of other bridges may
 * precede it: otherwise two workers would move their jumps for ever.
 */
const PUT_FIRST_SCRIPT = `
is_first() {
  rules=$($1 -w 5 -S "$2") || exit 1
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
  if $1 -w 5 -C "$2" -j "$3" 2>/dev/null; then
    # In one transaction, so that the jump is never missing.
    printf '%s\\n' '*filter' "-D $2 -j $3" "-I $2 -j $3" COMMIT | $1-restore -w 5 --noflush
  else
    $1 -w 5 -I "$2" -j "$3"
  fi
  echo "put first: $1 $2"
}
`;
