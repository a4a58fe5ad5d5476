import type { Instance, InstanceEvent, Route } from '@ephemera/domain';
import { sampleDraft } from '@ephemera/test-support';
import type { Snapshot } from '../src/invariants/snapshot.ts';
import { Expectations } from '../src/load/expectations.ts';

/** The only instance of a snapshot that breaks no invariant. */
export const ID = 'a1';
export const NOW = 1_000_000;
export const UNTIL = NOW + 60_000;
const HOST = 'host';

const instance: Instance = {
  ...sampleDraft({ id: ID, metadata: { key: 'its key' } }),
  generation: 7,
  supersedes: undefined,
  state: 'ready',
  reason: undefined,
  message: undefined,
  lastTransitionAt: NOW - 1_000,
  host: HOST,
  address: '10.0.1.0',
  createdAt: NOW - 2_000,
  startedAt: NOW - 1_000,
  expiresAt: UNTIL,
  maxExpiresAt: NOW + 600_000,
};

export const container = {
  Id: 'c1',
  Names: ['/c1'],
  State: 'running',
  Labels: { 'ephemera.instance': ID },
};

const route: Route = {
  state: 'ready',
  generation: 7,
  address: '10.0.1.0',
  port: 8080,
  ports: {},
  expiresAt: UNTIL,
  stripPrefix: true,
  host: 'h1',
  hostHeader: 'pass',
};

export function eventOf(change: Partial<InstanceEvent>): InstanceEvent {
  const { generation, expiresAt, metadata, template } = instance;
  const of = { id: ID, template: template.name, generation, expiresAt, metadata };
  const never = { reason: undefined, message: undefined };
  return { seq: '1-0', type: 'ready', time: NOW, state: 'ready', ...of, ...never, ...change };
}

/** A snapshot without violations, with these changes. */
export function snapshotOf(change: Partial<Snapshot> = {}): Snapshot {
  const { template } = instance;
  const expectations = new Expectations();
  expectations.created({
    ...{ id: ID, key: 'its key', template: template.name, born: NOW - 2_000 },
    ...{ promisedUntil: UNTIL, killAskedAt: undefined },
  });
  const { memory, cpus } = template.limits;
  return {
    now: NOW,
    namespace: 'e2e',
    containers: [container],
    networks: [{ Id: 'n1', Name: 'e2e', Containers: { c1: {} } }],
    instances: new Map([[ID, instance]]),
    routes: new Map([[ID, route]]),
    killJobs: [{ id: ID, generation: 7 }],
    spawnJobs: [],
    failedJobs: [],
    events: [eventOf({})],
    keys: new Map([
      ['instances', -1],
      [`instance:${ID}`, -1],
      [`route:${ID}`, -1],
    ]),
    sets: new Map([
      ['instances', [ID]],
      ['pending', []],
      [`host:${HOST}:instances`, [ID]],
    ]),
    used: new Map([
      [HOST, { instances: '1', memory: String(memory), cpus: String(Math.round(cpus * 1000)) }],
    ]),
    expectations,
    ends: new Map(),
    deliveries: new Map([['1-0', 1]]),
    metrics: [{ app: 'proxy 1', text: 'ephemera_instances 1\nephemera_tunnels_open 0\n' }],
    ...change,
  };
}

/** The instance with these changes, as the only one in Redis. */
export function withInstance(change: Partial<Instance>): Map<string, Instance> {
  return new Map([[ID, { ...instance, ...change }]]);
}
