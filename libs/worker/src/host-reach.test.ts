import { describe, expect, test } from 'vitest';
import { PUBLISHED_PORTS, hostReach, parsePortRange } from './host-reach.ts';
import type { ReachSettings } from './host-reach.ts';

const PROXIES = ['10.0.0.11/32', '10.0.1.0/24'];
const settings: ReachSettings = {
  reach: 'bridge',
  advertise: undefined,
  ports: PUBLISHED_PORTS,
  proxies: undefined,
  firewall: 'auto',
  blocked: [],
};
const published = {
  ...settings,
  reach: 'published',
  advertise: '10.0.0.21',
  proxies: PROXIES,
} as const;

test('each reach has what it needs', () => {
  expect(hostReach(settings)).toEqual({ kind: 'bridge' });
  expect(hostReach({ ...settings, reach: 'routed', proxies: PROXIES })).toEqual({
    kind: 'routed',
    proxies: PROXIES,
  });
  expect(hostReach(published)).toEqual({
    kind: 'published',
    address: '10.0.0.21',
    ports: { first: 20_000, last: 32_767 },
    proxies: PROXIES,
  });
});

test('no other machine can connect to a loopback address, so no range of proxies is needed', () => {
  expect(hostReach({ ...published, advertise: '127.0.0.1', proxies: undefined })).toMatchObject({
    address: '127.0.0.1',
    proxies: [],
  });
});

test('a public address is admitted if no instance may reach it', () => {
  const blocked = ['203.0.113.0/24'];
  expect(hostReach({ ...published, advertise: '203.0.113.7', blocked })).toMatchObject({
    address: '203.0.113.7',
  });
});

describe('is refused:', () => {
  test.each<[string, ReachSettings, string[]]>([
    [
      'published without anything else',
      { ...settings, reach: 'published' },
      ['EPHEMERA_PROXIES', 'EPHEMERA_ADVERTISE'],
    ],
    ['routed without proxies', { ...settings, reach: 'routed' }, ['EPHEMERA_PROXIES']],
    ['published without a firewall', { ...published, firewall: 'off' }, ['EPHEMERA_FIREWALL']],
    ['every address as a proxy', { ...published, proxies: ['0.0.0.0/0'] }, ['EPHEMERA_PROXIES']],
    [
      'every address in two ranges',
      { ...published, proxies: ['10.0.0.11/32', '0.0.0.0/1', '128.0.0.0/1'] },
      ['EPHEMERA_PROXIES'],
    ],
    ['a range wider than /8', { ...published, proxies: ['10.0.0.0/7'] }, ['EPHEMERA_PROXIES']],
    ['a public address', { ...published, advertise: '203.0.113.7' }, ['EPHEMERA_ADVERTISE']],
    ['proxies without a reach', { ...settings, proxies: PROXIES }, ['EPHEMERA_PROXIES']],
    ['an address without a reach', { ...settings, advertise: '10.0.0.21' }, ['EPHEMERA_ADVERTISE']],
    [
      'an address with routed',
      { ...settings, reach: 'routed', proxies: PROXIES, advertise: '10.0.0.21' },
      ['EPHEMERA_ADVERTISE'],
    ],
  ])('%s', (_, input, paths) => {
    const issues = hostReach(input);
    if ('kind' in issues) throw new Error(issues.kind);
    expect(issues.map(({ path }) => path)).toEqual(paths);
  });
});

test('a range of ports is two unprivileged ports in order, with 4,096 ports or more', () => {
  expect(parsePortRange('20000-32767')).toEqual({ first: 20_000, last: 32_767 });
  expect(parsePortRange('20000-24095')).toEqual({ first: 20_000, last: 24_095 });
  for (const text of [
    '20000-24094',
    '1000-20000',
    '80-90',
    '20000',
    '30000-20000',
    '20000-20000',
    '20000-70000',
    'a-b',
    '',
  ]) {
    expect(parsePortRange(text)).toBeUndefined();
  }
});
