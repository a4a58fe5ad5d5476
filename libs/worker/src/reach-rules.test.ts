import { expect, test } from 'vitest';
import { reachRules } from './reach-rules.ts';

// The rules as text. The end-to-end tests probe what they do, from other machines.

const network = { bridge: 'eph0', infrastructure: '10.231.0.0/24' };
const INTO = '! -i eph0 -o eph0';
const known = `${INTO} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN`;
const others = [
  `${INTO} -d 10.231.0.0/24 -m conntrack --ctstate DNAT -j RETURN`,
  `${INTO} -m conntrack --ctstate DNAT -p tcp -j REJECT --reject-with tcp-reset`,
  `${INTO} -m conntrack --ctstate DNAT -j REJECT`,
  `${INTO} -j DROP`,
];

test('bridge: no other machine connects to an instance', () => {
  expect(reachRules(network, { kind: 'bridge' })).toEqual({
    forward: [known, ...others],
    input: [],
  });
});

test('routed: only proxies connect, and only by TCP', () => {
  const proxies = ['10.0.0.11/32', '10.0.1.0/24'];
  expect(reachRules(network, { kind: 'routed', proxies }, ['eph1'])).toEqual({
    forward: [
      '-i eph1 -o eph0 -p tcp -j REJECT --reject-with tcp-reset',
      '-i eph1 -o eph0 -j REJECT',
      `${INTO} -s 10.0.0.11/32 -p tcp -m conntrack ! --ctstate DNAT -j ACCEPT`,
      `${INTO} -s 10.0.1.0/24 -p tcp -m conntrack ! --ctstate DNAT -j ACCEPT`,
      known,
      ...others,
    ],
    input: [],
  });
});

test('published: only proxies connect, through a port that Docker translates', () => {
  const ports = { first: 20_000, last: 20_099 };
  const reach = {
    kind: 'published',
    address: '10.0.0.21',
    ports,
    proxies: ['10.0.0.11/32'],
  } as const;
  const toPorts = '! -i eph0 -d 10.0.0.21 -p tcp --dport 20000:20099';
  expect(reachRules(network, reach)).toEqual({
    forward: [
      `${INTO} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN`,
      `${INTO} -s 10.0.0.11/32 -p tcp -m conntrack --ctstate DNAT -j RETURN`,
      `${INTO} -p tcp -j REJECT --reject-with tcp-reset`,
      `${INTO} -j REJECT`,
    ],
    input: [
      '-i lo -d 10.0.0.21 -j RETURN',
      `${toPorts} -s 10.0.0.11/32 -j RETURN`,
      `${toPorts} -j REJECT --reject-with tcp-reset`,
    ],
  });
});

test('published on loopback: no other machine connects', () => {
  const ports = { first: 20_000, last: 20_099 };
  const reach = { kind: 'published', address: '127.0.0.1', ports, proxies: [] } as const;
  expect(reachRules(network, reach).forward.filter((rule) => rule.includes('DNAT'))).toEqual([]);
});
