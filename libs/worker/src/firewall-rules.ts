import type { InstancesNetwork } from './docker/instances-network.ts';

/** What instances with egress reach and do not, beside what holds for all of them. */
export interface EgressRules {
  /** Resolvers that they may ask, wherever they are: addresses. */
  readonly resolvers: readonly string[];
  /** Ranges that they do not reach, beside those that nobody reaches. */
  readonly blocked: readonly string[];
}

/** What is near, the host's or nobody's: never reached, whatever a template says (RFC 6890). */
export const NEAR: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  // Azure's: the one metadata address that is no private one.
  '168.63.129.16/32',
  // Multicast, reserved, broadcast.
  '224.0.0.0/3',
];

/**
 * The rules for one bridge of the instances, as a shell script for `iptables`; running it again
 * changes nothing. It looks first at whether rules set here would hold at all, and fails where not.
 * It prints `put first: TABLES CHAIN` for each jump that was not where it belongs.
 *
 * The bridge to itself: only from and to the infrastructure's /24. From the bridge to the host:
 * replies only. From the bridge outwards: replies, and what egress opens. Towards the bridge: what
 * came by a published port, and replies. IPv6: nothing.
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
    whereRulesHold(bridge),
    PLACING,
    ...fill('iptables', forward, [
      `-i ${bridge} -o ${bridge} -s ${infrastructure} -j ACCEPT`,
      `-i ${bridge} -o ${bridge} -d ${infrastructure} ${known} -j ACCEPT`,
      `-i ${bridge} -o ${bridge} -j DROP`,
      // A neighbour that routes through this host; Docker stops it only where it set the policy.
      `! -i ${bridge} -o ${bridge} -m conntrack ! --ctstate ESTABLISHED,RELATED,DNAT -j DROP`,
      `! -i ${bridge} -j RETURN`,
      `${known} -j RETURN`,
      ...resolvers,
      ...[...NEAR, ...egress.blocked].map((range) => `-d ${range} -j DROP`),
      `! -s ${open.subnet} -j DROP`,
    ]),
    ...fill('iptables', input, [`-i ${bridge} ${known} -j ACCEPT`, `-i ${bridge} -j DROP`]),
    jump('iptables', 'DOCKER-USER', forward),
    // What others have put before Docker's chain would let pass what ours refuses.
    `leads iptables$kind FORWARD DOCKER-USER || ${jump('iptables', 'FORWARD', forward)}`,
    jump('iptables', 'INPUT', input),
    'if [ -e /proc/net/if_inet6 ]; then',
    ...fill('ip6tables', forward, [`-i ${bridge} -j DROP`, `-o ${bridge} -j DROP`]),
    ...fill('ip6tables', input, [`-i ${bridge} -j DROP`]),
    jump('ip6tables', 'FORWARD', forward),
    jump('ip6tables', 'INPUT', input),
    'fi',
  ].join('\n');
}

/** Prints the names of all chains that {@link firewallScript} may have made on a host. */
export function firewallListScript(): string {
  return KINDS.map(
    (name) =>
      `! command -v ${name} >/dev/null || ${name} -w 5 -S 2>/dev/null | grep '^-N EPHEMERA-' || true`,
  ).join('\n');
}

/** Which of these networks have rules, by what {@link firewallListScript} printed; their bridges. */
export function bridgesWithRules(printed: string, networks: readonly InstancesNetwork[]): string[] {
  const chains = new Set(Array.from(printed.matchAll(/^-N (EPHEMERA-\S+)$/gm), ([, name]) => name));
  return networks
    .filter((network) => Object.values(chainsOf(network)).some((chain) => chains.has(chain)))
    .map(({ bridge }) => bridge);
}

const KINDS = ['iptables', 'ip6tables'].flatMap((name) =>
  ['', '-nft', '-legacy'].map((kind) => name + kind),
);

/** Takes the rules away again, ours alone. */
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
 * Chooses the kind of iptables that the daemon uses, that of nf_tables or the older one: rules of
 * the other kind would stand where no packet passes. The daemon's own chain tells.
 */
function whereRulesHold(bridge: string): string {
  return `
fail() { echo "$1" >&2; exit 1; }
[ -e /proc/sys/net/ipv4/conf/${bridge} ] ||
  fail 'the bridge ${bridge} is not on this machine: the Docker daemon has another network'
for kind in '' -nft -legacy none; do
  [ "$kind" != none ] || fail 'the Docker daemon sets no rules of iptables here (no DOCKER-USER)'
  ! iptables$kind -w 5 -C FORWARD -j DOCKER-USER 2>/dev/null || break
done
[ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] ||
  fail 'net.bridge.bridge-nf-call-iptables is not 1: a bridge would pass by the rules'
`;
}

/** A chain's name has at most 28 characters; the bridge's name is unique and at most 15. */
function chainsOf({ bridge }: InstancesNetwork): { forward: string; input: string } {
  const name = `EPHEMERA-${bridge.toUpperCase()}`;
  return { forward: `${name}-F`, input: `${name}-I` };
}

/** In one transaction, so that there is no moment with half of the rules. */
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

/** The jump stands first, ahead of whatever else the host's chain holds. */
function jump(tables: string, from: string, to: string): string {
  return `put_first ${tables}$kind ${from} ${to}`;
}

/**
 * Who sets a rule at the top of a chain comes before a jump that was first until then. Jumps of
 * other bridges do no harm there: were they moved too, two workers would take turns for ever.
 */
const PLACING = `
leads() {
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
  ! leads "$@" || return 0
  if $1 -w 5 -C "$2" -j "$3" 2>/dev/null; then
    # In one transaction, so that there is no moment without it.
    printf '%s\\n' '*filter' "-D $2 -j $3" "-I $2 -j $3" COMMIT | $1-restore -w 5 --noflush
  else
    $1 -w 5 -I "$2" -j "$3"
  fi
  echo "put first: $1 $2"
}
`;
