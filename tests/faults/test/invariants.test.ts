import { expect, test } from 'vitest';
import { INVARIANTS, check } from '../src/invariants/invariants.ts';
import type { Snapshot } from '../src/invariants/snapshot.ts';
import { ID, NOW, UNTIL, container, eventOf, snapshotOf, withInstance } from './snapshot.ts';

test('a correct snapshot has no violation', () => {
  expect(check(snapshotOf())).toEqual([]);
});

const dead = { state: 'gone', reason: 'request', lastTransitionAt: NOW } as const;
const asked = (change: object) => {
  const snapshot = snapshotOf();
  Object.assign(snapshot.expectations.promised.get(ID) ?? {}, change);
  return snapshot.expectations;
};

/** For each invariant, a change that violates it. */
const BROKEN: Readonly<Record<string, Partial<Snapshot>>> = {
  'no container past its deadline': { now: UNTIL + 2_000 },
  'nothing killed before its deadline': { ends: new Map([[ID, [UNTIL - 1_000]]]) },
  'one container per id': { containers: [container, { ...container, Id: 'c2' }] },
  'live instances = containers = kill jobs, and their routes': { killJobs: [] },
  'no unfinished operation': { spawnJobs: [{ id: ID, generation: 7 }] },
  'no network and no address without an owner': {
    networks: [{ Id: 'n1', Name: 'e2e', Containers: { c1: {}, c9: {} } }],
  },
  'no reservation without an owner': {
    used: new Map([['host', { instances: '2', memory: '0', cpus: '0' }]]),
  },
  'no key without an owner': { keys: new Map([['route:b2', -1]]) },
  'no acknowledged creation lost': { instances: new Map() },
  'no acknowledged renewal lost': { instances: withInstance({ expiresAt: UNTIL - 1 }) },
  'one instance per creation key': {
    events: [eventOf({}), eventOf({ id: 'b2', seq: '1-0' })],
  },
  'every event has reached its webhook': { deliveries: new Map() },
  'metrics match the state': { metrics: [{ app: 'w', text: 'ephemera_instances 2\n' }] },
  'no violation in the responses': {
    expectations: (() => {
      const { expectations } = snapshotOf();
      expectations.recordViolation('no answer from another instance', 'a1 got a response from b2');
      return expectations;
    })(),
  },
};

test('every invariant has a case in this file', () => {
  expect(Object.keys(BROKEN).sort()).toEqual(INVARIANTS.map(({ name }) => name).sort());
});

test.each(Object.entries(BROKEN))('%s: a violation is detected', (name, change) => {
  expect(check(snapshotOf(change)).map(({ invariant }) => invariant)).toContain(name);
});

/** Everything that an instance may leave behind after a kill by request. */
const LEFT: Readonly<Record<string, Partial<Snapshot>>> = {
  'its container': { containers: [container] },
  'its kill job': { killJobs: [{ id: ID, generation: 7 }] },
  'its entry in the set of instances': { sets: new Map([['instances', [ID]]]) },
  'its route without an expiry': { keys: new Map([[`route:${ID}`, -1]]) },
  'its capacity reservation': { used: new Map([['host', { instances: '1' }]]) },
  'its address': { networks: [{ Id: 'n1', Name: 'e2e', Containers: { c1: {} } }] },
};
const over = {
  ...{ instances: withInstance(dead), routes: new Map(), containers: [], killJobs: [] },
  ...{ networks: [], keys: new Map(), sets: new Map(), used: new Map(), metrics: [] },
  expectations: asked({ killAskedAt: NOW - 1 }),
};

test('an ended instance that left nothing behind is no violation', () => {
  expect(check(snapshotOf(over))).toEqual([]);
});

test.each(Object.entries(LEFT))(
  'an ended instance that left %s behind is a violation',
  (_, left) => {
    expect(check(snapshotOf({ ...over, ...left }))).not.toEqual([]);
  },
);

test('a failed start is no violation in an expected period with a matching message', () => {
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
