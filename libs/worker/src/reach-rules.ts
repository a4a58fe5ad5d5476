import type { InstancesNetwork } from './docker/instances-network.ts';
import type { HostReach } from './host-reach.ts';

// The rules for connections that come from other machines to instances. Connections of the machine
// itself do not pass the chain FORWARD.

/** The rules of a bridge for packets from other machines, in their order. */
export interface ReachRules {
  /** Of the chain that FORWARD calls. They decide on every packet that enters the bridge. */
  readonly forward: readonly string[];
  /** Of the chain that INPUT calls. */
  readonly input: readonly string[];
}

/**
 * The source filter of a bridge. Only proxies can open connections to instances: with `published`
 * those that Docker translates from a published port, with `routed` those to the address of a
 * container. With `bridge` no other machine is admitted. Connections that are open stay open.
 *
 * Docker also runs a process that listens on each published port, for connections of the machine
 * itself. If Docker's translation is missing, a packet reaches that process, so INPUT has the
 * filter too.
 *
 * @param otherBridges the bridges of the other networks for instances of this host
 */
export function reachRules(
  { bridge, infrastructure }: Pick<InstancesNetwork, 'bridge' | 'infrastructure'>,
  reach: HostReach,
  otherBridges: readonly string[] = [],
): ReachRules {
  const from = `! -i ${bridge} -o ${bridge}`;
  const known = `${from} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN`;
  const translated = '-m conntrack --ctstate DNAT';
  // A range of proxies may include the networks of this host. By interface, because an instance may
  // forge its source.
  const instances = otherBridges.flatMap((other) => reject(`-i ${other} -o ${bridge}`));
  // What routes through this host. Docker drops it only if it set the policy of FORWARD. A published
  // port leads to the infrastructure, or to an instance from before the reach was changed.
  const others = [
    `${from} -d ${infrastructure} ${translated} -j RETURN`,
    ...reject(`${from} ${translated}`),
    `${from} -j DROP`,
  ];
  switch (reach.kind) {
    case 'bridge':
      return { forward: [known, ...others], input: [] };
    case 'routed': {
      const direct = '-p tcp -m conntrack ! --ctstate DNAT -j ACCEPT';
      const admitted = reach.proxies.map((range) => `${from} -s ${range} ${direct}`);
      return { forward: [...instances, ...admitted, known, ...others], input: [] };
    }
    case 'published': {
      const { address, ports, proxies } = reach;
      const published = `! -i ${bridge} -d ${address} -p tcp --dport ${ports.first}:${ports.last}`;
      return {
        forward: [
          known,
          ...instances,
          ...proxies.map((range) => `${from} -s ${range} -p tcp ${translated} -j RETURN`),
          ...reject(from),
        ],
        input: [
          `-i lo -d ${address} -j RETURN`,
          ...proxies.map((range) => `${published} -s ${range} -j RETURN`),
          `${published} -j REJECT --reject-with tcp-reset`,
        ],
      };
    }
  }
}

/** Refuses at once: TCP with a reset, other protocols with an ICMP error. */
export function reject(match: string): string[] {
  return [`${match} -p tcp -j REJECT --reject-with tcp-reset`, `${match} -j REJECT`];
}

/** The end of the script of the rules: it fails if the published address is none of this machine. */
export function checkReachScript(reach: HostReach): string {
  if (reach.kind !== 'published') return '';
  const { address } = reach;
  const leaf = `|-- ${address}$`.replaceAll('.', '\\.').replace('|', '\\|');
  return `
grep -A1 -E '${leaf}' /proc/net/fib_trie | grep -q 'host LOCAL' ||
  fail 'EPHEMERA_ADVERTISE is ${address}, which is not an address of this machine'
`;
}
