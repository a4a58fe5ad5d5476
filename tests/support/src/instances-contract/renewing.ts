import type { Renewed } from '@ephemera/lifecycle';
import { describe, expect, test } from 'vitest';
import { sampleTemplate } from '../sample.ts';
import { waitFor } from '../wait-for.ts';
import type { OpenInstances } from './open-instances.ts';

/** Renewals move the deadline or leave it unchanged. */
export function renewingContract(open: OpenInstances): void {
  describe('renew', () => {
    const longer = { timeout: 120_000, shorten: false };

    test('counts the new TTL from now', async () => {
      const { instances, leases, ready } = await open();
      const { id, generation } = await ready();
      const before = await instances.now();
      const held = (await instances.get(id))?.expiresAt;
      const { instance, previousExpiresAt } = renewed(await leases.renew(id, longer));
      expect(previousExpiresAt).toBe(held);
      expect(instance.expiresAt).toBeGreaterThanOrEqual(before + 120_000);
      expect(instance.expiresAt).toBeLessThan(before + 130_000);
      expect(instance).toMatchObject({ state: 'ready', generation });
      expect(await instances.get(id)).toEqual(instance);
    });

    test('sets an absolute deadline, never past the ceiling', async () => {
      const { leases, ready } = await open();
      const template = sampleTemplate({ maxTimeout: 100_000 });
      const { id, expiresAt, maxExpiresAt } = await ready({ template });
      const to = (at: number) => leases.renew(id, { expiresAt: at, shorten: false });
      expect(renewed(await to(expiresAt + 9_000)).instance.expiresAt).toBe(expiresAt + 9_000);
      expect(renewed(await to(maxExpiresAt + 1)).instance.expiresAt).toBe(maxExpiresAt);
      expect(renewed(await leases.renew(id, longer)).instance.expiresAt).toBe(maxExpiresAt);
    });

    test('refuses an earlier deadline, which counts as use only, except on request', async () => {
      const { instances, leases, ready } = await open();
      const { id, expiresAt } = await ready();
      const before = await instances.get(id);
      const usedAt = before?.activeAt ?? 0;
      await waitFor('the clock to advance', async () => (await instances.now()) > usedAt);
      const sooner = { expiresAt: expiresAt - 30_000 };
      const refused = await leases.renew(id, { ...sooner, shorten: false });
      const after = await instances.get(id);
      expect(after).toEqual({ ...before, activeAt: after?.activeAt });
      expect(after?.activeAt).toBeGreaterThan(usedAt);
      expect(refused).toEqual({ kind: 'earlier', instance: after });
      const shorter = renewed(await leases.renew(id, { ...sooner, shorten: true }));
      expect(shorter).toMatchObject({ previousExpiresAt: expiresAt, instance: sooner });
    });

    test('leaves the deadline for a difference that comes from rounding', async () => {
      const { leases, ready } = await open();
      const { id, expiresAt } = await ready();
      for (const [earlier, kind] of [
        [1_000, 'renewed'],
        [1_001, 'earlier'],
      ] as const) {
        const answer = await leases.renew(id, { expiresAt: expiresAt - earlier, shorten: false });
        expect(answer).toMatchObject({ kind, instance: { expiresAt } });
      }
    });

    test('reports instances without a lease', async () => {
      const { leases, create, assigned, draining, instances } = await open();
      expect(await leases.renew((await create()).id, longer)).toEqual({ kind: 'starting' });
      expect(await leases.renew((await assigned()).id, longer)).toEqual({ kind: 'starting' });
      const ended = await draining();
      expect(await leases.renew(ended.id, longer)).toEqual({ kind: 'ended', instance: ended });
      await instances.finalize(ended.id, ended.generation);
      expect(await leases.renew(ended.id, longer)).toMatchObject({ kind: 'ended' });
      expect(await leases.renew('nobody', longer)).toEqual({ kind: 'absent' });
    });

    test('is too late at the deadline, even if the instance was not ended yet', async () => {
      const { instances, leases, ready } = await open();
      const instance = await ready({ timeout: 30 });
      await waitFor('the deadline', async () => (await instances.now()) >= instance.expiresAt);
      expect(await leases.renew(instance.id, longer)).toEqual({ kind: 'ended', instance });
      expect(await instances.startDraining(instance.id, 'due')).toMatchObject({ kind: 'draining' });
    });

    // A confirmed renewal must never be followed by a kill at the old deadline.
    test('races with a due kill 1,000 times: renewed and alive, or ended', async () => {
      const { instances, second, leases, ready } = await open();
      const seen = { renewed: 0, ended: 0 };
      for (let round = 0; round < 1_000; round++) {
        const { id } = await ready({ timeout: 2 + (round % 3) });
        let renewal = Promise.resolve<Renewed>({ kind: 'absent' });
        const ending = waitFor('an outcome', async () => {
          const answer = second.startDraining(id, 'due');
          renewal = leases.renew(id, longer);
          const [end, renewed] = [await answer, await renewal];
          return (end.kind === 'draining' || renewed.kind === 'renewed') && end;
        });
        const [end, answer] = [await ending, await renewal];
        const stored = await instances.get(id);
        if (answer.kind === 'renewed') {
          seen.renewed++;
          expect(end.kind).toBe('leased');
          expect(stored).toEqual(answer.instance);
        } else {
          seen.ended++;
          expect(answer.kind).toBe('ended');
          expect(stored).toMatchObject({ state: 'draining', reason: 'ttl' });
        }
      }
      expect(seen.renewed).toBeGreaterThan(0);
    });
  });

  describe('an idle instance', () => {
    const template = sampleTemplate({ idleTimeout: 60_000 });

    test('is due before its deadline, and renewing or using it delays that', async () => {
      const { instances, leases, ready } = await open();
      const { id } = await ready({ template, timeout: 600_000 });
      const until = async () => {
        const outcome = await instances.startDraining(id, 'due');
        if (outcome.kind !== 'leased') throw new Error(`the outcome was ${outcome.kind}`);
        return outcome.remaining;
      };
      expect(await until()).toBeGreaterThan(60_000);
      expect(await until()).toBeLessThan(70_000);
      const { activeAt = 0 } = (await instances.get(id)) ?? {};
      await waitFor('the clock to advance', async () => (await instances.now()) > activeAt);
      await leases.touch([id, 'nobody']);
      const touched = await instances.get(id);
      expect(touched?.activeAt).toBeGreaterThan(activeAt);
      expect(await instances.get('nobody')).toBeUndefined();
    });

    test('ends as idle, also after it was restored', async () => {
      const { ready } = await open();
      const lost = await ready({ template, timeout: 600_000 });
      const { instances } = await open();
      const activeAt = (await instances.now()) - 70_000;
      await instances.restore({ ...lost, activeAt });
      expect(await instances.startDraining(lost.id, 'due')).toMatchObject({
        kind: 'draining',
        instance: { reason: 'idle' },
      });
    });
  });
}

function renewed(answer: Renewed): Extract<Renewed, { kind: 'renewed' }> {
  if (answer.kind !== 'renewed') throw new Error(`the result was ${answer.kind}`);
  return answer;
}
