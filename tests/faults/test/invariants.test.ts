import { expect, test } from 'vitest';
import { INVARIANTS, check } from '../src/invariants/invariants.ts';
import type { Snapshot } from '../src/invariants/snapshot.ts';
import { ID, NOW, UNTIL, container, eventOf, snapshotOf, withInstance } from './snapshot.ts';

test('where all is well nothing is told', () => {
  expect(check(snapshotOf())).toEqual([]);
});

const dead = { state: 'gone', reason: 'request', lastTransitionAt: NOW } as const;
const asked = (change: object) => {
  const snapshot = snapshotOf();
  Object.assign(snapshot.expectations.promised.get(ID) ?? {}, change);
  return snapshot.expectations;
};

/** What each invariant is there to find. */
const BROKEN: Readonly<Record<string, Partial<Snapshot>>> = {
  'no container past its deadline': { now: UNTIL + 2_000 },
  'nothing killed before its deadline': { ends: new Map([[ID, [UNTIL - 1_000]]]) },
  'one container an id': { containers: [container, { ...container, Id: 'c2' }] },
  'live instances = containers = kill jobs, and their routes': { killJobs: [] },
  'nothing half done': { spawnJobs: [{ id: ID, generation: 7 }] },
  'no network and no address without an owner': {
    networks: [{ Id: 'n1', Name: 'e2e', Containers: { c1: {}, c9: {} } }],
  },
  'no reservation without an owner': {
    used: new Map([['host', { instances: '2', memory: '0', cpus: '0' }]]),
  },
  'no key without an owner': { keys: new Map([['route:b2', -1]]) },
  'no acknowledged creation lost': { instances: new Map() },
  'no acknowledged renewal lost': { instances: withInstance({ expiresAt: UNTIL - 1 }) },
  'one instance a creation, however often it is sent': {
    events: [eventOf({}), eventOf({ id: 'b2', seq: '1-0' })],
  },
  'every event has reached its webhook': { deliveries: new Map() },
  'metrics agree with what is there': { metrics: [{ app: 'w', text: 'ephemera_instances 2\n' }] },
  'nothing wrong in the answers': {
    expectations: (() => {
      const { expectations } = snapshotOf();
      expectations.tell('no answer from another instance', 'a1 was answered by b2');
      return expectations;
    })(),
  },
};

test('each invariant has a snapshot here that breaks it', () => {
  expect(Object.keys(BROKEN).sort()).toEqual(INVARIANTS.map(({ name }) => name).sort());
});

test.each(Object.entries(BROKEN))('%s: what breaks it is told', (name, change) => {
  expect(check(snapshotOf(change)).map(({ invariant }) => invariant)).toContain(name);
});

/** Everything that an instance which ended by request may leave behind. */
const LEFT: Readonly<Record<string, Partial<Snapshot>>> = {
  'its container': { containers: [container] },
  'its kill job': { killJobs: [{ id: ID, generation: 7 }] },
  'its place among the live': { sets: new Map([['instances', [ID]]]) },
  'its route, without an end': { keys: new Map([[`route:${ID}`, -1]]) },
  'its room on the host': { used: new Map([['host', { instances: '1' }]]) },
  'its address': { networks: [{ Id: 'n1', Name: 'e2e', Containers: { c1: {} } }] },
};
const over = {
  ...{ instances: withInstance(dead), routes: new Map(), containers: [], killJobs: [] },
  ...{ networks: [], keys: new Map(), sets: new Map(), used: new Map(), metrics: [] },
  expectations: asked({ killAskedAt: NOW - 1 }),
};

test('an instance that ended and left nothing is well', () => {
  expect(check(snapshotOf(over))).toEqual([]);
});

test.each(Object.entries(LEFT))('an instance that ended and left %s is told', (_, left) => {
  expect(check(snapshotOf({ ...over, ...left }))).not.toEqual([]);
});

test('a failed start is no loss where somebody spoilt starts, at that time and in these words', () => {
  const failed = { state: 'failed', reason: 'start_failed', lastTransitionAt: NOW } as const;
  const of = (message: string, from: number) => {
    const expectations = asked({});
    expectations.expectedFailures.push({ words: /no space left/, from, until: from + 1_000 });
    const snapshot = snapshotOf({
      ...over,
      expectations,
      instances: withInstance({ ...failed, message }),
    });
    return check(snapshot).map(({ invariant }) => invariant);
  };
  const lost = ['no acknowledged creation lost'];
  expect(of('write: no space left on device', NOW - 500)).toEqual([]);
  expect(of('It did not answer.', NOW - 500)).toEqual(lost);
  expect(of('write: no space left on device', NOW + 500)).toEqual(lost);
});
