import { describe, expect, test } from 'vitest';
import { sampleTemplate } from '../sample.ts';
import { waitFor } from '../wait-for.ts';
import { drained, present } from './open-instances.ts';
import type { OpenInstances } from './open-instances.ts';

/** From live to a tombstone that expires. */
export function endingContract(open: OpenInstances): void {
  describe('startDraining', () => {
    test.each(['request', 'exited', 'oom', 'idle', 'orphan'] as const)(
      'for %s drains a live instance under a higher generation',
      async (reason) => {
        const { instances, ready } = await open();
        const before = await ready();
        const ended = drained(await instances.startDraining(before.id, reason, 'why'));
        expect(ended).toMatchObject({ state: 'draining', reason, message: 'why' });
        expect(ended.generation).toBeGreaterThan(before.generation);
        expect(ended.supersedes).toBe(before.generation);
        expect(await instances.get(before.id)).toEqual(ended);
      },
    );

    test('when due leaves a valid lease unchanged, and returns its remaining time', async () => {
      const { instances, ready } = await open();
      const { id, expiresAt } = await ready({ timeout: 30_000 });
      const outcome = await instances.startDraining(id, 'due');
      if (outcome.kind !== 'leased') throw new Error(`the outcome was ${outcome.kind}`);
      expect(outcome.remaining).toBeGreaterThan(0);
      expect(outcome.remaining).toBeLessThanOrEqual(30_000);
      expect(await instances.get(id)).toMatchObject({ state: 'ready', expiresAt });
    });

    // A kill job that waits for the start deadline would be late for an instance that becomes ready
    // soon.
    test('when due leaves a starting instance, for its time to live at most', async () => {
      const { instances, create, assigned } = await open();
      for (const { id } of [await create({ timeout: 3_000 }), await assigned({ timeout: 3_000 })]) {
        expect(await instances.startDraining(id, 'due')).toEqual({
          kind: 'leased',
          remaining: 3_000,
        });
      }
    });

    test('when due ends an expired lease, and never early', async () => {
      const { instances, ready } = await open();
      const { id, expiresAt } = await ready({ timeout: 40 });
      const ended = await waitFor('the lease to be over', async () => {
        const outcome = await instances.startDraining(id, 'due');
        return outcome.kind === 'draining' && outcome.instance;
      });
      expect(ended).toMatchObject({ reason: 'ttl', message: undefined });
      expect(ended.lastTransitionAt).toBeGreaterThanOrEqual(expiresAt);
    });

    test('when due ends an instance that never became ready as a failed start', async () => {
      const { instances, create, assigned } = await open();
      const template = sampleTemplate({ ready: { kind: 'tcp', within: 20 } });
      for (const { id } of [await create({ template }), await assigned({ template })]) {
        const ended = await waitFor('the start deadline', async () => {
          const outcome = await instances.startDraining(id, 'due');
          return outcome.kind === 'draining' && outcome.instance;
        });
        expect(ended).toMatchObject({ reason: 'start_failed' });
        expect(ended.message).toMatch(/start deadline/);
      }
    });

    test('a failed start is ignored once another run has marked it ready', async () => {
      const { instances, ready } = await open();
      const { id } = await ready();
      expect(await instances.startDraining(id, 'start_failed')).toMatchObject({ kind: 'leased' });
      expect(await instances.get(id)).toMatchObject({ state: 'ready' });
    });

    test('an early exit is a failed start although it was ready, with its hint', async () => {
      const { instances, ready } = await open();
      const { id } = await ready();
      const hint = { code: 'out_of_memory', text: 'It needs more.', cure: 'limits: {}' } as const;
      const outcome = await instances.startDraining(id, 'early_exit', 'code 1', hint);
      if (outcome.kind !== 'draining') throw new Error(outcome.kind);
      await instances.finalize(id, outcome.instance.generation);
      expect(await instances.get(id)).toMatchObject({
        state: 'failed',
        reason: 'start_failed',
        message: 'code 1',
        hint,
      });
    });

    test('a second call returns the same, with the first reason', async () => {
      const { instances, second, ready } = await open();
      const { id } = await ready();
      const first = await instances.startDraining(id, 'oom', 'first');
      expect(await second.startDraining(id, 'request', 'second')).toEqual(first);
      expect(await second.startDraining(id, 'due')).toEqual(first);
    });

    test('a dead or unknown instance is absent', async () => {
      const { instances, draining } = await open();
      const { id, generation } = await draining();
      await instances.finalize(id, generation);
      expect(await instances.startDraining(id, 'request')).toEqual({ kind: 'absent' });
      expect(await instances.startDraining('nobody', 'due')).toEqual({ kind: 'absent' });
    });

    // The caller may die before it finalizes the instance, and no host would do so.
    test('a drained pending instance is listed as unassigned until it is finalized', async () => {
      const { instances, create } = await open();
      const { id } = await create();
      const ended = drained(await instances.startDraining(id, 'request'));
      expect(ended).toMatchObject({ host: undefined });
      const now = await instances.now();
      expect(await instances.unassignedOverdue(now)).toEqual([ended]);
      expect(await instances.pendingWithoutHost(now)).toEqual([]);
      await instances.finalize(id, ended.generation);
      expect(await instances.unassignedOverdue(now)).toEqual([]);
    });

    // A kill races with a start that becomes ready. If one of them were applied partially, a route
    // would lead to a container that is being removed, or an unknown container would keep running.
    test('races with markReady 1,000 times, and both states are consistent', async () => {
      const { instances, second, assigned } = await open();
      const seen = { ended: 0, published: 0 };
      for (let round = 0; round < 1_000; round++) {
        const { id, generation } = await assigned();
        const calls = [
          () => instances.markReady(id, generation, '10.0.0.9'),
          () => second.startDraining(id, 'request'),
        ] as const;
        const first = round % 2;
        const started = first === 0 ? calls[0]() : undefined;
        const outcome = calls[1]();
        const published = await (started ?? calls[0]());
        const ended = drained(await outcome);
        seen[published ? 'published' : 'ended']++;
        expect(ended).toMatchObject({ state: 'draining', reason: 'request' });
        expect(ended.supersedes).toBe(generation);
        expect(ended.startedAt).toBe(published?.startedAt);
        expect(ended.address).toBe(published ? '10.0.0.9' : undefined);
        expect(await instances.get(id)).toEqual(ended);
      }
      expect(seen.ended).toBeGreaterThan(0);
      expect(seen.published).toBeGreaterThan(0);
    });
  });

  describe('finalize', () => {
    test('leaves a tombstone with the reason, and neither address nor env', async () => {
      const { instances, draining } = await open();
      const { id, generation } = await draining({ env: { SECRET: 'x' } });
      await instances.finalize(id, generation);
      expect(await instances.get(id)).toMatchObject({
        state: 'gone',
        reason: 'request',
        generation,
        address: undefined,
        env: {},
      });
      expect(await instances.ofHost('a')).toEqual([]);
    });

    test('a failed start becomes failed, not gone, and keeps its message', async () => {
      const { instances, assigned } = await open();
      const { id } = await assigned();
      const { generation } = drained(
        await instances.startDraining(id, 'start_failed', 'no such image'),
      );
      await instances.finalize(id, generation);
      expect(await instances.get(id)).toMatchObject({ state: 'failed', message: 'no such image' });
    });

    test('a second call, a wrong generation and a live instance change nothing', async () => {
      const { instances, ready, draining } = await open();
      const ended = await draining();
      await instances.finalize(ended.id, ended.generation - 1);
      expect(await instances.get(ended.id)).toEqual(ended);
      await instances.finalize(ended.id, ended.generation);
      const finalized = await instances.get(ended.id);
      await instances.finalize(ended.id, ended.generation);
      expect(await instances.get(ended.id)).toEqual(finalized);
      const live = await ready();
      await instances.finalize(live.id, live.generation);
      await instances.finalize('nobody', 1);
      expect(await instances.get(live.id)).toEqual(live);
    });

    test('the tombstone expires', async () => {
      const { instances, draining } = await open({ tombstone: 30 });
      const { id, generation } = await draining();
      await instances.finalize(id, generation);
      await waitFor('the tombstone to expire', async () => (await instances.get(id)) === undefined);
    });

    // Its host is unavailable. Without the tombstone, the container's labels would restore the
    // instance.
    test('the tombstone of an instance with a leftover container lasts until its ceiling', async () => {
      const { instances, draining } = await open({ tombstone: 30 });
      const template = sampleTemplate({ timeout: 1_000, maxTimeout: 1_000 });
      const { id, generation } = await draining({ template, timeout: 1_000 });
      const { maxExpiresAt } = present(await instances.get(id));
      await instances.finalize(id, generation, 'left');
      const goneAt = await waitFor('the tombstone to expire', async () => {
        return (await instances.get(id)) === undefined && (await instances.now());
      });
      expect(goneAt).toBeGreaterThanOrEqual(maxExpiresAt);
    });
  });
}
