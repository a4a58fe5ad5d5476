import { ConfigError } from '@ephemera/config';
import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

const nowhere = { EPHEMERA_CONFIG: '/nowhere/ephemera.yml' };

test('every setting has a default', () => {
  expect(readConfig(nowhere)).toMatchObject({
    redis: { url: 'redis://127.0.0.1:6379/0', tls: {} },
    namespace: 'ephemera',
    bind: '127.0.0.1',
    port: 8083,
    dockerHost: 'unix:///var/run/docker.sock',
    hostId: undefined,
    subnets: undefined,
    networkInstances: 1000,
    firewall: 'auto',
    egress: { resolvers: ['1.1.1.1', '8.8.8.8'], blocked: [] },
    cpuPeriod: 10,
    spawnConcurrency: 8,
    killConcurrency: 32,
    tombstone: 3_600_000,
  });
});

test.each([
  ['EPHEMERA_HOST_ID', 'Host:1', 'must be lowercase letters, digits and hyphens, at most 63'],
  [
    'EPHEMERA_SUBNET',
    '10.0.0.0/8',
    'must be IPv4 /16 ranges such as 10.231.0.0/16, comma-separated',
  ],
  ['EPHEMERA_FIREWALL', 'maybe', /auto.*required.*off/],
  ['EPHEMERA_EGRESS_DNS', '1.1.1.1,resolver', 'must be IPv4 addresses, comma-separated'],
  ['EPHEMERA_EGRESS_BLOCK', '10.0.0.1', /must be IPv4 ranges/],
  ['EPHEMERA_REACH', 'overlay', /bridge.*published.*routed/],
  ['EPHEMERA_ADVERTISE', 'host-b', 'must be an IPv4 address of this machine'],
  ['EPHEMERA_PUBLISHED_PORTS', '80-90', 'is not a range of at least 4096 ports'],
  ['EPHEMERA_PROXIES', '10.0.0.11', 'must be IPv4 ranges'],
  ['EPHEMERA_WORKER_PORT', '99999', 'must be a port from 1 to 65535'],
  ['EPHEMERA_CPU_PERIOD', '2s', 'must be at most 1s'],
  ['EPHEMERA_SPAWN_CONCURRENCY', '0', 'must be at least 1'],
])('%s=%s is refused', (name, value, detail) => {
  expect(() => readConfig({ ...nowhere, [name]: value })).toThrow(ConfigError);
  expect(() => readConfig({ ...nowhere, [name]: value })).toThrow(detail);
});

test('the settings of the reach are checked together, and all errors are reported at once', () => {
  const published = { ...nowhere, EPHEMERA_REACH: 'published' };
  expect(() => readConfig(published)).toThrow(
    /EPHEMERA_PROXIES: is required.*\n.*EPHEMERA_ADVERTISE/,
  );
  const rest = { EPHEMERA_ADVERTISE: '10.0.0.21', EPHEMERA_PROXIES: '10.0.0.11/32,10.0.1.0/24' };
  expect(readConfig({ ...published, ...rest }).reach).toEqual({
    kind: 'published',
    address: '10.0.0.21',
    ports: { first: 20_000, last: 32_767 },
    proxies: ['10.0.0.11/32', '10.0.1.0/24'],
  });
  expect(readConfig(nowhere).reach).toEqual({ kind: 'bridge' });
});

test('the logins of registries are checked at the start', () => {
  const absent = { ...nowhere, EPHEMERA_DOCKER_CONFIG: '/nowhere/config.json' };
  expect(() => readConfig(absent)).toThrow(/config.json.*\n.*cannot be read \(ENOENT\)/);
});

test('several subnets keep their order', () => {
  const input = { ...nowhere, EPHEMERA_SUBNET: '10.9.0.0/16,10.3.0.0/16' };
  expect(readConfig(input).subnets).toEqual(['10.9.0.0/16', '10.3.0.0/16']);
});

// Each octet must be at most 255, or the network could not be created.
test('an invalid subnet is refused at start-up', () => {
  expect(() => readConfig({ ...nowhere, EPHEMERA_SUBNET: '300.1.0.0/16' })).toThrow(ConfigError);
});
