import { sampleTemplate } from '@ephemera/test-support';
import { describe, expect, test } from 'vitest';
import { Crash, crashingAfter, oneHost, recording } from '../test/one-host.ts';
import { ContainerStartError } from './ports.ts';

test('the kill job exists before the container is created', async () => {
  const host = oneHost();
  const instance = await host.pending();
  const calls: string[] = [];
  const spawned = await host.spawn(instance, { through: recording(calls) });
  expect(spawned).toMatchObject({ kind: 'ready', instance: { state: 'ready', host: 'a' } });
  expect(calls).toEqual(['assignToHost', 'schedule', 'start', 'markReady']);
});

test('the returned deadline is the one in the store', async () => {
  const host = oneHost();
  const instance = await host.pending();
  const spawned = await host.spawn(instance, { onProbe: () => host.clock.advance(700) });
  if (spawned.kind !== 'ready') throw new Error(spawned.kind);
  const { startedAt, expiresAt, address } = (await host.instances.get(instance.id)) ?? {};
  expect(spawned.instance).toMatchObject({ startedAt, expiresAt, address });
  expect(startedAt).toBe(instance.createdAt + 700);
});

test('the kill job is due at the earliest possible deadline', async () => {
  const host = oneHost();
  const short = await host.pending({ timeout: 2_000 });
  const long = await host.pending({ timeout: 50_000 });
  host.clock.advance(10_000);
  const begunAt = host.clock.now();
  await host.spawn(short);
  await host.spawn(long);
  const due = new Map(host.killJobs.scheduled().map(({ id, dueAt }) => [id, dueAt]));
  expect(due.get(short.id)).toBe(begunAt + 2_000);
  expect(due.get(long.id)).toBe(long.expiresAt);
});

test('a failed probe is repeated until the instance is ready', async () => {
  const host = oneHost();
  const instance = await host.silent();
  let probes = 0;
  const spawned = await host.spawn(instance, {
    onProbe: () => {
      if (++probes === 5) host.serve(instance);
    },
  });
  expect(spawned.kind).toBe('ready');
  expect(probes).toBe(5);
});

// A hundred starts may wait at once, and the daemon must also start containers.
test('a slow container is inspected twice a second, and more often only at first', async () => {
  const host = oneHost();
  const template = sampleTemplate({ ready: { kind: 'tcp', within: 22_000 } });
  const instance = await host.silent({ template });
  let looks = 0;
  const spawned = await host.spawn(instance, {
    through: (ports) => ({
      ...ports,
      containers: {
        ...ports.containers,
        inspect(containerId) {
          looks++;
          return ports.containers.inspect(containerId);
        },
      },
    }),
  });
  expect(spawned).toMatchObject({ kind: 'failed' });
  expect(looks).toBeLessThan(50);
});

describe('a start that fails', () => {
  test('permanently leaves no container, and a tombstone with the reason', async () => {
    const host = oneHost({
      beforeStart: () => {
        throw new ContainerStartError('The image nowhere is not on this host.');
      },
    });
    const { id, generation } = await host.pending();
    expect(await host.spawn({ id, generation })).toEqual({
      kind: 'failed',
      message: 'The image nowhere is not on this host.',
    });
    expect(host.containersOf(id)).toEqual([]);
    expect(await host.instances.get(id)).toMatchObject({
      state: 'failed',
      reason: 'start_failed',
      message: 'The image nowhere is not on this host.',
    });
    expect(host.killJobs.scheduled()).toEqual([]);
  });

  test('by an exit reports the code and the last lines', async () => {
    const host = oneHost();
    const { id, generation } = await host.silent();
    const log = Array.from({ length: 20 }, (_, i) => `line ${i + 1}`).join('\n');
    const spawned = await host.spawn(
      { id, generation },
      { onProbe: () => host.containers.exit(id, { exitCode: 3, log }) },
    );
    expect(spawned).toMatchObject({ kind: 'failed' });
    const { message } = (await host.instances.get(id)) ?? {};
    expect(message).toBe(
      `The container exited with code 3. Its last lines:\n${log.split('\n').slice(-10).join('\n')}`,
    );
    expect(host.containersOf(id)).toEqual([]);
  });

  test('by an exit reports the end of the log, however long it is', async () => {
    const host = oneHost();
    const { id, generation } = await host.silent();
    const log = `${'x'.repeat(16_000)}\n${'y'.repeat(16_000)} the end`;
    const onProbe = () => host.containers.exit(id, { exitCode: 3, log });
    await host.spawn({ id, generation }, { onProbe });
    const { message = '' } = (await host.instances.get(id)) ?? {};
    expect(message).toMatch(/^The container exited with code 3\. Its last lines:\ny+ the end$/);
    expect(message.length).toBeLessThan(2_100);
  });

  test('has a hint from the log and the template', async () => {
    const host = oneHost();
    const { id, generation } = await host.silent();
    const log = 'chown: /data: Operation not permitted';
    const onProbe = () => host.containers.exit(id, { exitCode: 1, log });
    await host.spawn({ id, generation }, { onProbe });
    expect(await host.instances.get(id)).toMatchObject({
      hint: { code: 'missing_capability', cure: 'user: image\ncapAdd: [CHOWN]' },
    });
  });

  // The daemon reports the exit while the instance is not serving yet, and nobody handles it.
  test('by an exit right after the probe is a failed start', async () => {
    const host = oneHost();
    const { id, generation } = await host.pending();
    const onProbe = () => host.containers.exit(id, { exitCode: 4, log: 'no database' });
    const spawned = await host.spawn({ id, generation }, { onProbe });
    const message = 'The container exited with code 4. Its last lines:\nno database';
    expect(spawned).toEqual({ kind: 'failed', message });
    expect(await host.instances.get(id)).toMatchObject({ state: 'failed', message });
    expect(host.killJobs.scheduled()).toEqual([]);
  });

  test('because of memory reports that reason', async () => {
    const host = oneHost();
    const { id, generation } = await host.silent();
    const onProbe = () => host.containers.exit(id, { exitCode: 137, oomKilled: true });
    expect(await host.spawn({ id, generation }, { onProbe })).toEqual({
      kind: 'failed',
      message: 'The container ran out of memory.',
    });
  });

  test('without an answer ends at the start deadline', async () => {
    const host = oneHost();
    const template = sampleTemplate({ ready: { kind: 'tcp', within: 4_000 } });
    const instance = await host.silent({ template });
    const { id, expiresAt } = instance;
    expect(await host.spawn(instance)).toEqual({
      kind: 'failed',
      message:
        'It was not ready within 4 s. Port 8080 refused the connection. If it only needs more time, raise ready.within.',
    });
    // Shortly before its kill job would end it without a reason.
    expect(host.clock.now()).toBeGreaterThanOrEqual(expiresAt - 2_000);
    expect(host.clock.now()).toBeLessThan(expiresAt);
    expect(await host.stateOf(id)).toBe('failed');
    expect(host.containersOf(id)).toEqual([]);
  });

  test('by a daemon that refuses until the deadline reports its message and a hint', async () => {
    const refusal = '(HTTP code 500) server error - exec: "serve": executable file not found; runc';
    const host = oneHost({
      beforeStart: () => {
        throw new Error(refusal);
      },
    });
    const instance = await host.pending();
    await expect(host.spawn(instance)).rejects.toThrow(refusal);
    host.clock.advance(instance.expiresAt - host.clock.now() - 1_600);
    expect(await host.spawn(instance)).toMatchObject({ kind: 'failed' });
    expect(await host.instances.get(instance.id)).toMatchObject({
      state: 'failed',
      message: `The container could not be started before its start deadline. The last error: ${refusal}`,
      hint: { code: 'program_not_found' },
    });
    expect(host.containersOf(instance.id)).toEqual([]);
  });

  test('temporarily is thrown, and the next run of the job starts it', async () => {
    let refused = 0;
    const host = oneHost({
      beforeStart: () => {
        if (++refused <= 2) throw new Error('the daemon is unavailable');
      },
    });
    const instance = await host.pending();
    await expect(host.spawn(instance)).rejects.toThrow('the daemon is unavailable');
    await expect(host.spawn(instance)).rejects.toThrow('the daemon is unavailable');
    expect(await host.spawn(instance)).toMatchObject({ kind: 'ready' });
    expect(host.containersOf(instance.id)).toHaveLength(1);
    expect(host.killJobs.scheduled()).toHaveLength(1);
  });
});

describe('an instance that is killed', () => {
  test('before its spawn job ran is not started', async () => {
    const host = oneHost();
    const { id, generation } = await host.pending();
    await host.kill(id, 'request');
    expect(await host.spawn({ id, generation })).toEqual({ kind: 'superseded' });
    expect(host.containersOf(id)).toEqual([]);
    expect(host.killJobs.scheduled()).toEqual([]);
  });

  // The kill ran before the container existed, so the start must remove it.
  test.each(['assignToHost', 'schedule', 'start'] as const)(
    'right after %s leaves nothing',
    async (step) => {
      const host = oneHost();
      const { id, generation } = await host.pending();
      const spawned = await host.spawn(
        { id, generation },
        {
          through: (ports) => {
            const then = <A extends unknown[], R>(action: (...args: A) => Promise<R>) => {
              return async (...args: A): Promise<R> => {
                const result = await action(...args);
                await host.kill(id, 'request');
                return result;
              };
            };
            const { instances, killJobs, containers } = ports;
            if (step === 'assignToHost') {
              return {
                ...ports,
                instances: { ...instances, assignToHost: then(instances.assignToHost) },
              };
            }
            if (step === 'schedule')
              return { ...ports, killJobs: { ...killJobs, schedule: then(killJobs.schedule) } };
            return { ...ports, containers: { ...containers, start: then(containers.start) } };
          },
        },
      );
      expect(spawned).toEqual({ kind: 'superseded' });
      expect(host.containersOf(id)).toEqual([]);
      expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
    },
  );

  test('while it is probed is superseded, not failed', async () => {
    const host = oneHost();
    const { id, generation } = await host.silent();
    const spawned = await host.spawn(
      { id, generation },
      {
        onProbe: async () =>
          expect(await host.kill(id, 'request')).toMatchObject({ kind: 'killed' }),
      },
    );
    expect(spawned).toEqual({ kind: 'superseded' });
    expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
  });
});

describe('twice', () => {
  test('in sequence has no further effect', async () => {
    const host = oneHost();
    const instance = await host.ready();
    expect(await host.spawn(instance)).toEqual({ kind: 'superseded' });
    expect(await host.stateOf(instance.id)).toBe('ready');
    expect(host.containersOf(instance.id)).toHaveLength(1);
  });

  // A stalled worker loses its job to another, and then continues concurrently.
  test('concurrently is one container that both runs report as ready', async () => {
    const host = oneHost();
    const instance = await host.pending();
    const spawned = await Promise.all([host.spawn(instance), host.spawn(instance)]);
    expect(spawned.map(({ kind }) => kind)).toEqual(['ready', 'ready']);
    expect(host.containersOf(instance.id)).toHaveLength(1);
    expect(await host.stateOf(instance.id)).toBe('ready');
    expect(host.killJobs.scheduled()).toHaveLength(1);
  });

  test('concurrently, a failure of one run after the other has succeeded leaves the instance ready', async () => {
    const host = oneHost();
    const instance = await host.pending();
    let probes = 0;
    const timeout = host.spawn(instance, {
      async onProbe() {
        // The slower run fails for its own reason.
        if (++probes > 1) return;
        await host.spawn(instance);
        throw new ContainerStartError('it did not answer');
      },
    });
    expect(await timeout).toEqual({ kind: 'superseded' });
    expect(await host.stateOf(instance.id)).toBe('ready');
    expect(host.containersOf(instance.id)).toHaveLength(1);
  });
});

async function crashAt(step: number) {
  const host = oneHost();
  const instance = await host.pending({ timeout: 5_000 });
  const crashed = await host.spawn(instance, { through: crashingAfter(step) }).then(
    () => false,
    (error: unknown) => error instanceof Crash,
  );
  return { host, instance, crashed };
}

const steps: number[] = [];
while ((await crashAt(steps.length + 1)).crashed) steps.push(steps.length + 1);

describe('a crash after any step', () => {
  test('covers at least five steps', () => {
    expect(steps.length).toBeGreaterThanOrEqual(5);
  });

  test.each(steps)('(%i) and another run of the job: one ready container', async (step) => {
    const { host, instance } = await crashAt(step);
    await host.spawn(instance);
    expect(host.containersOf(instance.id)).toHaveLength(1);
    expect(await host.stateOf(instance.id)).toBe('ready');
    host.clock.advance(5_000);
    await host.fireKills();
    expect(host.containersOf(instance.id)).toEqual([]);
  });

  test.each(steps)('(%i) and no other run: the kill job ends it', async (step) => {
    const { host, instance } = await crashAt(step);
    const scheduled = host.killJobs.scheduled().length > 0;
    host.clock.advance(30_000);
    await host.fireKills();
    expect(host.containersOf(instance.id)).toEqual([]);
    // A crash before the kill job is also before the container. Reconciliation handles it.
    if (!scheduled) expect(await host.reconcile()).toBe(1);
    expect(await host.stateOf(instance.id)).toMatch(/gone|failed/);
  });

  test.each(steps)('(%i) and a lost kill job: reconciliation ends it', async (step) => {
    const { host, instance } = await crashAt(step);
    host.clock.advance(30_000);
    host.killJobs.takeDue();
    await host.reconcile();
    expect(host.faults).toEqual([]);
    expect(host.containersOf(instance.id)).toEqual([]);
    expect(await host.stateOf(instance.id)).toMatch(/gone|failed/);
    expect(await host.reconcile()).toBe(0);
  });
});
