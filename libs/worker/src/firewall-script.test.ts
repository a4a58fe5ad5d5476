import { expect, test } from 'vitest';
import { describeNetwork } from './docker/instances-network.ts';
import {
  bridgesWithRules,
  firewallListScript,
  firewallRemovalScript,
  firewallScript,
} from './firewall-rules.ts';

// The rules as text. `test/firewall.test.ts` probes what they do, from containers.

const network = describeNetwork('ephemera', 'eph0', '10.231.0.0/16');
const { gateway, infrastructure, open } = network;
const egress = { resolvers: ['203.0.113.53'], blocked: ['198.51.100.0/24'] };
const KNOWN = '-m conntrack --ctstate ESTABLISHED,RELATED';

/** The rules of each chain, by program and table, as one transaction sets them. */
function chainsIn(script: string): Record<string, string[]> {
  const blocks = script.matchAll(
    /^(ip6?tables)\$kind-restore -w 5 --noflush <<RULES\n([^]*?)\nCOMMIT\nRULES$/gm,
  );
  return Object.fromEntries(
    Array.from(blocks, ([, program = '', text = '']) => {
      const [table = '', created = '', flushed = '', ...rules] = text.split('\n');
      const chain = /^:(\S+) - \[0:0\]$/.exec(created)?.[1] ?? '';
      expect(flushed).toBe(`-F ${chain}`);
      const start = `-A ${chain} `;
      return [
        `${program} ${table} ${chain}`,
        rules.map((rule) => (rule.startsWith(start) ? rule.slice(start.length) : `? ${rule}`)),
      ];
    }),
  );
}

const refused = (match: string) => [
  `${match} -p tcp -j REJECT --reject-with tcp-reset`,
  `${match} -j REJECT`,
];

test('the chains have exactly these rules, in this order', () => {
  const blocked = [
    ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16'],
    ...['172.16.0.0/12', '192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15'],
    ...['168.63.129.16/32', '224.0.0.0/3', '198.51.100.0/24'],
  ];
  expect(chainsIn(firewallScript(network, egress))).toEqual({
    'iptables *filter EPHEMERA-EPH0-F': [
      `-i eph0 -o eph0 -s ${infrastructure} -j ACCEPT`,
      `-i eph0 -o eph0 -d ${infrastructure} ${KNOWN} -j ACCEPT`,
      ...refused('-i eph0 -o eph0'),
      `! -i eph0 -o eph0 ${KNOWN} -j RETURN`,
      `! -i eph0 -o eph0 -d ${infrastructure} -m conntrack --ctstate DNAT -j RETURN`,
      ...refused('! -i eph0 -o eph0 -m conntrack --ctstate DNAT'),
      '! -i eph0 -o eph0 -j DROP',
      '! -i eph0 -j RETURN',
      `${KNOWN} -j RETURN`,
      `-s ${open.subnet} -d 203.0.113.53 -p udp --dport 53 -j RETURN`,
      `-s ${open.subnet} -d 203.0.113.53 -p tcp --dport 53 -j RETURN`,
      ...blocked.flatMap((range) => refused(`-d ${range}`)),
      ...refused(`! -s ${open.subnet}`),
    ],
    'iptables *filter EPHEMERA-EPH0-I': [`-i eph0 ${KNOWN} -j ACCEPT`, ...refused('-i eph0')],
    'iptables *nat EPHEMERA-EPH0-N': [],
    'iptables *raw EPHEMERA-EPH0-R': [
      `-i eph0 ! -s ${open.subnet} -j ACCEPT`,
      ...blocked.map((range) => `-i eph0 -d ${range} -j ACCEPT`),
    ],
    'ip6tables *filter EPHEMERA-EPH0-F': ['-i eph0 -j DROP', '-o eph0 -j DROP'],
    'ip6tables *filter EPHEMERA-EPH0-I': ['-i eph0 -j DROP'],
  });
});

test('with a responder, only limited queries for names reach it, and no other port of the host', () => {
  const chains = chainsIn(firewallScript(network, egress, 5_353));
  const limit = '-m limit --limit 1000/s --limit-burst 1000';
  expect(chains['iptables *filter EPHEMERA-EPH0-I']).toEqual([
    `-i eph0 -p udp --dport 5353 -m conntrack --ctstate DNAT ${limit} -j ACCEPT`,
    '-i eph0 -p udp --dport 5353 -j DROP',
    `-i eph0 -p tcp --dport 5353 --syn -m conntrack --ctstate DNAT ${limit} -j ACCEPT`,
    `-i eph0 ${KNOWN} -j ACCEPT`,
    ...refused('-i eph0'),
  ]);
  expect(chains['iptables *nat EPHEMERA-EPH0-N']).toEqual(
    [gateway, '192.0.2.1'].flatMap((address) =>
      ['udp', 'tcp'].map(
        (protocol) =>
          `-i eph0 -d ${address} -p ${protocol} --dport 53 -j DNAT --to-destination ${gateway}:5353`,
      ),
    ),
  );
});

test('each chain is jumped to first, and IPv6 is left out where the kernel has none', () => {
  const lines = firewallScript(network, egress).split('\n');
  const put = lines.filter((line) => line.startsWith('put_first ') && !line.endsWith('{'));
  expect(put).toEqual([
    'put_first iptables$kind DOCKER-USER EPHEMERA-EPH0-F filter',
    'put_first iptables$kind INPUT EPHEMERA-EPH0-I filter',
    'put_first iptables$kind PREROUTING EPHEMERA-EPH0-N nat',
    'put_first iptables$kind PREROUTING EPHEMERA-EPH0-R raw',
    'put_first ip6tables$kind FORWARD EPHEMERA-EPH0-F filter',
    'put_first ip6tables$kind INPUT EPHEMERA-EPH0-I filter',
  ]);
  expect(lines).toContain(
    'is_first iptables$kind FORWARD DOCKER-USER filter || put_first iptables$kind FORWARD EPHEMERA-EPH0-F filter',
  );
  const [from, to] = [
    lines.indexOf('if [ -e /proc/net/if_inet6 ]; then'),
    lines.indexOf('fi', lines.length - 2),
  ];
  expect(from).toBeGreaterThan(0);
  // The chains exist before anything jumps to them.
  for (const [i, line] of lines.entries()) {
    if (/^(?:put_first )?ip6tables/.test(line)) expect(i > from && i < to, line).toBe(true);
  }
  // A rule that cannot be set ends the script.
  expect(lines[0]).toBe('set -e');
});

test('a removal takes away the jumps of every backend before their chains', () => {
  const text = firewallRemovalScript(network);
  for (const kind of ['', '-nft', '-legacy']) {
    for (const program of [`iptables${kind}`, `ip6tables${kind}`]) {
      const [, block = ''] = text.split(`if command -v ${program} >/dev/null; then\n`);
      const own = block.slice(0, block.indexOf('\nfi')).split('\n');
      const jumps = [
        ['filter', 'DOCKER-USER', 'F'],
        ['filter', 'FORWARD', 'F'],
        ['filter', 'INPUT', 'I'],
        ['nat', 'PREROUTING', 'N'],
        ['raw', 'PREROUTING', 'R'],
      ] as const;
      expect(own).toEqual([
        ...jumps.map(
          ([table, from, to]) =>
            `while ${program} -w 5 -t ${table} -D ${from} -j EPHEMERA-EPH0-${to} 2>/dev/null; do :; done`,
        ),
        ...jumps.flatMap(([table, , to]) =>
          ['F', 'X'].map(
            (step) =>
              `${program} -w 5 -t ${table} -${step} EPHEMERA-EPH0-${to} 2>/dev/null || true`,
          ),
        ),
      ]);
    }
  }
});

test('the bridges with rules are read from the chains of every backend and table', () => {
  const lines = firewallListScript().split('\n');
  expect(lines).toHaveLength(18);
  for (const program of ['iptables', 'ip6tables']) {
    for (const kind of ['', '-nft', '-legacy']) {
      for (const table of ['filter', 'nat', 'raw']) {
        const name = program + kind;
        expect(lines).toContain(
          `! command -v ${name} >/dev/null || ${name} -w 5 -t ${table} -S 2>/dev/null | grep '^-N EPHEMERA-' || true`,
        );
      }
    }
  }
  const printed = [
    '-N EPHEMERA-EPH0-F',
    '-N EPHEMERA-EPH0-I',
    '-N EPHEMERA-BR-1A2B-N',
    // Not ours.
    '-N EPHEMERA-EPH1-X',
    '-A FORWARD -j EPHEMERA-EPH2-F',
    'x -N EPHEMERA-EPH3-F',
    '-N EPHEMERA-EPH4-F -j DROP',
  ];
  expect(bridgesWithRules(printed.join('\n'))).toEqual(['eph0', 'br-1a2b']);
  expect(bridgesWithRules('')).toEqual([]);
});
