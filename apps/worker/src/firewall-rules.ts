import type { InstancesNetwork } from './docker/instances-network.ts';

/**
 * The rules for the instances' bridge, as a shell script for `iptables`; running it again changes
 * nothing. The bridge to itself: only from and to the infrastructure's /24. From the bridge to the
 * host: replies only. From the bridge outwards: nothing new.
 */
export function firewallScript(network: InstancesNetwork): string {
  const { forward, input } = chainsOf(network);
  const { bridge, infrastructure } = network;
  const rules = [
    ...fill(forward, [
      `-i ${bridge} -o ${bridge} -s ${infrastructure} -j ACCEPT`,
      `-i ${bridge} -o ${bridge} -d ${infrastructure} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
      `-i ${bridge} ! -o ${bridge} -m conntrack --ctstate NEW -j DROP`,
    ]),
    ...fill(input, [
      `-i ${bridge} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
      `-i ${bridge} -j DROP`,
    ]),
    'iptables -w 5 -N DOCKER-USER 2>/dev/null || true',
    ...jump('DOCKER-USER', forward),
    ...jump('INPUT', input),
  ];
  return ['set -e', ...rules].join('\n');
}

/** Takes the rules away again, ours alone. */
export function firewallRemovalScript(network: InstancesNetwork): string {
  const { forward, input } = chainsOf(network);
  return [
    ...['DOCKER-USER', 'INPUT'].flatMap((from, i) => {
      const chain = i === 0 ? forward : input;
      return [
        `while iptables -w 5 -D ${from} -j ${chain} 2>/dev/null; do :; done`,
        `iptables -w 5 -F ${chain} 2>/dev/null || true`,
        `iptables -w 5 -X ${chain} 2>/dev/null || true`,
      ];
    }),
  ].join('\n');
}

/** A chain's name has at most 28 characters; the bridge's name is unique and at most 15. */
function chainsOf({ bridge }: InstancesNetwork): { forward: string; input: string } {
  const name = `EPHEMERA-${bridge.toUpperCase()}`;
  return { forward: `${name}-F`, input: `${name}-I` };
}

/** In one transaction, so that there is no moment with half of the rules. */
function fill(chain: string, rules: readonly string[]): string[] {
  return [
    'iptables-restore -w 5 --noflush <<RULES',
    '*filter',
    `:${chain} - [0:0]`,
    `-F ${chain}`,
    ...rules.map((rule) => `-A ${chain} ${rule}`),
    'COMMIT',
    'RULES',
  ];
}

/** The jump stands first, ahead of whatever else the host's chain holds. */
function jump(from: string, to: string): string[] {
  return [`iptables -w 5 -C ${from} -j ${to} 2>/dev/null || iptables -w 5 -I ${from} 1 -j ${to}`];
}
