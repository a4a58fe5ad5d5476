import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { root } from './run.ts';

// Privileges of the services in the compose file; docs/SECURITY.md gives the reasons.

interface Service {
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly user?: string;
  readonly privileged?: boolean;
  readonly network_mode?: string;
  readonly pid?: string;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly profiles?: readonly string[];
}

const file = parse(await readFile(join(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
  services: Record<string, Service>;
};
const { 'demo-image': built, ...services } = file.services;
const parts = Object.entries(services);
const nameOf = ([name]: [string, Service]) => name;

test.each(parts)('%s has no capabilities and a read-only root file system', (_, part) => {
  expect(part).toMatchObject({
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
  });
  expect(part).not.toHaveProperty('cap_add');
  expect(part).not.toHaveProperty('privileged');
  expect(part).not.toHaveProperty('network_mode');
  expect(part).not.toHaveProperty('pid');
});

test('only the worker runs as root and mounts the Docker socket', async () => {
  const image = await readFile(join(root, 'Dockerfile'), 'utf8');
  expect(image).toMatch(/^USER node$/m);
  expect(parts.filter(([, { user }]) => user === 'root').map(nameOf)).toEqual(['worker']);
  const withSocket = parts.filter(([, { volumes }]) => volumes?.some((v) => v.includes('.sock')));
  expect(withSocket.map(nameOf)).toEqual(['worker']);
});

test('only the balancer and Grafana publish ports, by default on the loopback address', () => {
  expect(parts.filter(([, { ports }]) => ports !== undefined).map(nameOf)).toEqual([
    'balancer',
    'grafana',
  ]);
  expect(services['grafana']?.ports).toEqual([
    '${EPHEMERA_ADMIN_HOST:-127.0.0.1}:${EPHEMERA_GRAFANA_PORT:-3000}:3000',
  ]);
  expect(services['balancer']?.ports).toEqual([
    '${EPHEMERA_HOST:-127.0.0.1}:${EPHEMERA_PUBLIC_PORT:-8080}:8080',
    '${EPHEMERA_ADMIN_HOST:-127.0.0.1}:${EPHEMERA_ADMIN_PORT:-8081}:8081',
    '${EPHEMERA_ADMIN_HOST:-127.0.0.1}:${EPHEMERA_DASHBOARD_PORT:-8082}:8082',
  ]);
});

test('only proxies and workers are on the network of the instances', () => {
  const onIt = parts.filter(([, { networks }]) => networks?.includes('instances')).map(nameOf);
  expect(onIt).toEqual(['proxy', 'worker']);
  expect(built).toMatchObject({ network_mode: 'none' });
});

test('only the profile observability starts Prometheus and Grafana', () => {
  const optional = parts.filter(([, { profiles }]) => profiles !== undefined);
  expect(optional.map(nameOf)).toEqual(['prometheus', 'grafana']);
  for (const [, { profiles }] of optional) expect(profiles).toEqual(['observability']);
});

test('Grafana is not on the network whose addresses the proxies trust', () => {
  expect(services['grafana']?.networks).toEqual(['edge']);
});
