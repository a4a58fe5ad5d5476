import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Instance } from './instance.ts';
import { planRepairs } from './reconcile.ts';
import type { Repair, SeenContainer } from './reconcile.ts';
import { STATES, isDead } from './state.ts';

const NOW = 1_000_000;

const template: Instance['template'] = {
  name: 'demo',
  image: 'ephemera/demo',
  port: 8080,
  ports: { web: 8080 },
  timeout: 60_000,
  maxTimeout: 60_000,
  activity: 'connections',
  ready: { kind: 'tcp', within: 30_000 },
  stopGrace: 0,
  limits: { memory: 1, cpus: 1, pids: 1 },
  command: undefined,
  env: {},
  user: undefined,
  readOnly: true,
  tmpfs: {},
  capAdd: [],
  egress: false,
  stripPrefix: true,
  host: 'pass',
  whenFull: 'refuse',
  maxQueued: 0,
  queueTimeout: 60_000,
  pool: 0,
  poolMaxAge: 60_000,
  schedule: [],
};

function instanceOf(input: Partial<Instance>): Instance {
  return {
    id: 'a',
    generation: 1,
    supersedes: undefined,
    template,
    state: 'ready',
    reason: undefined,
    message: undefined,
    lastTransitionAt: NOW - 60_000,
    host: 'host',
    address: '10.0.0.9',
    timeout: 60_000,
    createdAt: NOW - 60_000,
    startedAt: NOW - 60_000,
    expiresAt: NOW + 60_000,
    maxExpiresAt: NOW + 60_000,
    url: 'http://127.0.0.1/demo/a/',
    env: {},
    metadata: {},
    ...input,
  };
}

function containerOf(input: Partial<SeenContainer>): SeenContainer {
  return {
    containerId: 'c',
    id: 'a',
    generation: 1,
    createdAt: NOW - 60_000,
    expiresAt: NOW + 60_000,
    running: true,
    address: '10.0.0.9',
    paused: false,
    oomKilled: false,
    exitCode: undefined,
    ...input,
  };
}

function plan(instances: readonly Instance[], containers: readonly SeenContainer[]): Repair[] {
  const known = new Map(instances.map((instance) => [instance.id, instance]));
  return planRepairs({ host: 'host', startedAt: NOW, containers, instances: known });
}

const kinds = (repairs: readonly Repair[]) => repairs.map(({ kind }) => kind);

describe('an instance and its container', () => {
  test.each([
    ['ready', {}, {}, ['ensure_kill_job']],
    ['starting', { state: 'starting' }, {}, ['ensure_kill_job']],
    ['ready, overdue', { expiresAt: NOW }, {}, ['finish_drain']],
    ['starting, overdue', { state: 'starting', expiresAt: NOW }, {}, ['finish_drain']],
    ['draining for long', { state: 'draining' }, {}, ['finish_drain']],
    ['draining just now', { state: 'draining', lastTransitionAt: NOW - 1 }, {}, []],
    ['ready, stopped', {}, { running: false, exitCode: 3 }, ['end']],
    [
      'listed before it ran, ready since',
      { lastTransitionAt: NOW },
      { running: false },
      ['ensure_kill_job'],
    ],
    [
      'starting, stopped: the spawn reports the reason',
      { state: 'starting' },
      { running: false },
      ['ensure_kill_job'],
    ],
    ['ready, paused by another program', {}, { paused: true }, ['unpause']],
    [
      'ready just now, paused by another program',
      { lastTransitionAt: NOW },
      { paused: true },
      ['ensure_kill_job'],
    ],
    [
      'ready, paused by another program, overdue',
      { expiresAt: NOW },
      { paused: true },
      ['finish_drain'],
    ],
    ['paused', { state: 'paused' }, { paused: true }, ['ensure_kill_job']],
    ['on another host', { host: 'other' }, {}, ['remove_orphan']],
    ['on another host, overdue', { host: 'other', expiresAt: NOW }, {}, ['remove_orphan']],
    ['gone', { state: 'gone' }, {}, ['remove_orphan']],
    ['failed', { state: 'failed' }, { running: false }, ['remove_orphan']],
  ] as const)('%s', (_, instance, container, expected) => {
    expect(kinds(plan([instanceOf(instance)], [containerOf(container)]))).toEqual(expected);
  });
});

test('a draining instance with a stop grace is finished after the grace', () => {
  const polite = { ...template, stopGrace: 10_000 };
  const since = (ms: number) =>
    instanceOf({ state: 'draining', template: polite, lastTransitionAt: NOW - ms });
  expect(plan([since(6_000)], [containerOf({})])).toEqual([]);
  expect(plan([since(15_001)], [containerOf({})])).toEqual([{ kind: 'finish_drain', id: 'a' }]);
});

describe('an instance without a container', () => {
  test.each([
    ['pending: not assigned to a host', { state: 'pending', host: undefined }, []],
    ['starting', { state: 'starting' }, ['ensure_kill_job']],
    ['ready for long', {}, ['container_missing']],
    ['ready just now', { lastTransitionAt: NOW - 1 }, ['ensure_kill_job']],
    ['gone', { state: 'gone' }, []],
  ] as const)('%s', (_, instance, expected) => {
    expect(kinds(plan([instanceOf(instance)], []))).toEqual(expected);
  });
});

// A store that lost a claim had a second container started, which then exited.
test('only the exited duplicate is removed, in either list order', () => {
  const both = [
    containerOf({ containerId: 'twin', running: false }),
    containerOf({ containerId: 'serves' }),
  ];
  for (const seen of [both, both.toReversed()]) {
    expect(plan([instanceOf({})], seen)).toMatchObject([
      { kind: 'remove_orphan', containerId: 'twin' },
      { kind: 'ensure_kill_job' },
    ]);
  }
});

test('of two running containers, the one at the routed address stays, in either list order', () => {
  const both = [
    containerOf({ containerId: 'twin', address: '10.0.0.10' }),
    containerOf({ containerId: 'serves' }),
  ];
  const known = (input: Partial<Instance>) => [instanceOf(input)];
  for (const seen of [both, both.toReversed()]) {
    expect(plan(known({}), seen)).toMatchObject([
      { kind: 'remove_orphan', containerId: 'twin' },
      { kind: 'ensure_kill_job' },
    ]);
    // No address is routed, or neither container has it, so the duplicate is unknown.
    expect(kinds(plan(known({ state: 'starting', address: undefined }), seen))).toEqual([
      'ensure_kill_job',
    ]);
    expect(kinds(plan(known({ address: '10.0.0.11' }), seen))).toEqual(['ensure_kill_job']);
  }
});

test('an instance ends with its own container, even if a duplicate runs under its id', () => {
  const both = [
    containerOf({ containerId: 'twin', address: '10.0.0.10' }),
    containerOf({ containerId: 'served', running: false, exitCode: 3 }),
  ];
  for (const seen of [both, both.toReversed()]) {
    expect(kinds(plan([instanceOf({})], seen))).toEqual(['end']);
  }
});

describe('a container without an instance', () => {
  test.each([
    ['before its first deadline', {}, ['rebuild']],
    ['after its first deadline', { expiresAt: NOW }, ['remove_orphan']],
    ['stopped', { running: false }, ['remove_orphan']],
    ['with an invalid deadline label', { expiresAt: Number.NaN }, ['remove_orphan']],
    ['younger than the scan', { createdAt: NOW, running: false }, []],
  ] as const)('%s', (_, container, expected) => {
    expect(kinds(plan([], [containerOf(container)]))).toEqual(expected);
  });
});

describe('for any scan', () => {
  const ids = ['a', 'b', 'c'];
  const time = fc.integer({ min: NOW - 20_000, max: NOW + 20_000 });
  const instances = fc.uniqueArray(
    fc
      .record({
        id: fc.constantFrom(...ids),
        state: fc.constantFrom(...STATES),
        expiresAt: time,
        lastTransitionAt: time,
      })
      .map(instanceOf),
    { selector: ({ id }) => id },
  );
  const containers = fc
    .array(
      fc.record({
        id: fc.constantFrom(...ids),
        createdAt: time,
        expiresAt: time,
        running: fc.boolean(),
        address: fc.constantFrom('10.0.0.9', '10.0.0.10'),
        paused: fc.boolean(),
        oomKilled: fc.boolean(),
      }),
      { maxLength: 5 },
    )
    .map((all) => all.map((item, i) => containerOf({ ...item, containerId: `c${i}` })));

  test('no instance and no container is repaired twice', () => {
    fc.assert(
      fc.property(instances, containers, (known, seen) => {
        const touched = plan(known, seen).map((repair) => {
          if (repair.kind === 'remove_orphan') return repair.containerId;
          if (repair.kind === 'rebuild') return repair.container.id;
          return repair.kind === 'ensure_kill_job' ? repair.instance.id : repair.id;
        });
        expect(touched).toEqual([...new Set(touched)]);
      }),
    );
  });

  test('the container that serves a live instance is never removed', () => {
    fc.assert(
      fc.property(instances, containers, (known, seen) => {
        for (const repair of plan(known, seen)) {
          if (repair.kind !== 'remove_orphan') continue;
          const owner = known.find(({ id }) => id === repair.id);
          const found = seen.find((container) => container.containerId === repair.containerId);
          const serves = found?.running && found.address === owner?.address;
          expect(!owner || isDead(owner.state) || !serves).toBe(true);
        }
      }),
    );
  });

  test('overdue instances end, and containers younger than the scan are untouched', () => {
    fc.assert(
      fc.property(instances, containers, (known, seen) => {
        const repairs = plan(known, seen);
        const ended = new Set(
          repairs.flatMap((repair) =>
            repair.kind === 'finish_drain' || repair.kind === 'end' ? [repair.id] : [],
          ),
        );
        for (const { id, state, expiresAt } of known) {
          const live = !isDead(state) && state !== 'draining';
          if (live && expiresAt <= NOW) expect(ended).toContain(id);
        }
        const young = new Set(
          seen.filter(({ createdAt }) => createdAt >= NOW).map(({ containerId }) => containerId),
        );
        for (const repair of repairs) {
          if (repair.kind === 'remove_orphan') expect(young).not.toContain(repair.containerId);
          if (repair.kind === 'rebuild') expect(young).not.toContain(repair.container.containerId);
        }
      }),
    );
  });
});

describe('an instance of a pool', () => {
  const warm = (input: Partial<Instance> = {}) =>
    instanceOf({ state: 'warm', pool: 'p', ...input });

  test('that is unclaimed and unknown to the store is removed', () => {
    expect(plan([], [containerOf({ pooled: 'unclaimed' })])).toMatchObject([
      { kind: 'remove_orphan' },
    ]);
  });

  test('that is labelled as claimed is rebuilt, whether it is unknown to the store or warm there', () => {
    const container = containerOf({ pooled: 'claimed', generation: 9 });
    expect(plan([], [container])).toEqual([{ kind: 'rebuild', container }]);
    expect(plan([warm()], [container])).toEqual([{ kind: 'rebuild', container }]);
    expect(plan([warm({ unverified: true })], [container])).toEqual([
      { kind: 'rebuild', container },
    ]);
  });

  test('that is unverified ends', () => {
    const container = containerOf({ pooled: 'unclaimed' });
    expect(plan([warm({ unverified: true })], [container])).toEqual([
      { kind: 'evict_unverified', id: 'a' },
    ]);
    expect(plan([warm()], [container]).map(({ kind }) => kind)).toEqual(['ensure_kill_job']);
  });

  test('whose image was rebuilt is replaced, at most half of its pool at once', () => {
    const ids = ['a', 'b', 'c'];
    const pool = ids.map((id) => warm({ id, pool: 'one' }));
    const containers = (isOutdated: boolean) =>
      ids.map((id, age) =>
        containerOf({ id, pooled: 'unclaimed', isOutdated, createdAt: NOW - 10_000 + age }),
      );
    const other = [warm({ id: 'd', pool: 'two' })];
    const lone = containerOf({ id: 'd', pooled: 'unclaimed', isOutdated: true });
    const replaced = plan([...pool, ...other], [...containers(true), lone]).flatMap((repair) =>
      repair.kind === 'replace_outdated' ? [repair.id] : [],
    );
    expect(replaced).toEqual(['a', 'b', 'd']);
    expect(plan(pool, containers(false)).map(({ kind }) => kind)).toEqual(
      ids.map(() => 'ensure_kill_job'),
    );
  });

  test.each([
    ['while the pool starts another', [warm({ id: 'b', pool: 'one', state: 'starting' })], 0],
    ['while the pool lacks instances', [], 2],
  ])('whose image was rebuilt stays %s', (_, others, pool) => {
    const outdated = warm({ pool: 'one', template: { ...warm().template, pool } });
    const container = containerOf({ pooled: 'unclaimed', isOutdated: true });
    const kinds = plan([outdated, ...others], [container]).map(({ kind }) => kind);
    expect(kinds).not.toContain('replace_outdated');
  });

  test('that was claimed stays, whatever its image', () => {
    const container = containerOf({ pooled: 'claimed', isOutdated: true });
    expect(plan([instanceOf({})], [container]).map(({ kind }) => kind)).toEqual([
      'ensure_kill_job',
    ]);
  });

  test('that was claimed is labelled once', () => {
    const claimed = instanceOf({ generation: 5 });
    const mark = { kind: 'label_claimed', id: 'a', containerId: 'c', generation: 5 };
    expect(
      plan([claimed], [containerOf({ containerId: 'c', pooled: 'unclaimed' })]),
    ).toContainEqual(mark);
    expect(
      plan([claimed], [containerOf({ containerId: 'c', pooled: 'claimed' })]),
    ).not.toContainEqual(mark);
  });
});
