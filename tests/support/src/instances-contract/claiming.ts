import { describe, expect, test } from 'vitest';
import { sampleDraft } from '../sample.ts';
import { present } from './open-instances.ts';
import type { OpenInstances } from './open-instances.ts';

/** Pool instances, from creation to claim. */
export function claimingContract(open: OpenInstances): void {
  const spec = { timeout: 9_000, metadata: { who: 'x' } };

  describe('a pool', () => {
    test('creates at most the desired number', async () => {
      const { pools } = await open();
      const made = await Promise.all(
        Array.from({ length: 5 }, () => pools.createWarm(sampleDraft(), 'p', 2)),
      );
      expect(made.filter(Boolean)).toHaveLength(2);
    });

    test('a started instance is warm, cannot be renewed, and is claimed under a new generation', async () => {
      const { instances, leases, pools } = await open();
      const { id, generation } = present(await pools.createWarm(sampleDraft(), 'p', 1));
      expect(await pools.claimWarm('p', spec, {})).toEqual({ kind: 'none' });
      await instances.assignToHost(id, generation, 'a');
      const published = await instances.markReady(id, generation, '10.0.0.9');
      expect(await instances.get(id)).toMatchObject({ state: 'warm', pool: 'p' });
      const renewal = { timeout: 1_000, shorten: false };
      expect(await leases.renew(id, renewal)).toEqual({ kind: 'starting' });

      const claimed = await pools.claimWarm('p', spec, {});
      if (claimed.kind !== 'claimed') throw new Error(claimed.kind);
      const { instance } = claimed;
      expect(instance).toMatchObject({ id, state: 'ready', supersedes: generation, ...spec });
      expect(instance.pool).toBeUndefined();
      expect(instance.generation).toBeGreaterThan(generation);
      expect(instance.expiresAt).toBe((instance.startedAt ?? 0) + 9_000);
      // The spawn job may run again after the claim.
      expect(await instances.markReady(id, generation, '10.0.0.9')).toMatchObject({
        expiresAt: instance.expiresAt,
      });
      expect(published?.startedAt).toBeLessThanOrEqual(instance.startedAt ?? 0);
    });

    test('a surplus instance is ended while it is warm, and not once it is claimed', async () => {
      const { instances, pools } = await open();
      const warm = async () => {
        const { id, generation } = present(await pools.createWarm(sampleDraft(), 'p', 9));
        expect((await instances.startDraining(id, 'surplus')).kind).toBe('absent');
        await instances.assignToHost(id, generation, 'a');
        await instances.markReady(id, generation, '10.0.0.9');
        return id;
      };
      const claimed = await warm();
      await pools.claimWarm('p', spec, {});
      expect((await instances.startDraining(claimed, 'surplus')).kind).toBe('absent');
      expect(await instances.get(claimed)).toMatchObject({ state: 'ready' });
      const ended = await instances.startDraining(await warm(), 'surplus');
      expect(ended).toMatchObject({ kind: 'draining', instance: { reason: 'request' } });
    });

    test('concurrent claims never get the same instance', async () => {
      const { instances, pools } = await open();
      for (let i = 0; i < 2; i++) {
        const { id, generation } = present(await pools.createWarm(sampleDraft(), 'p', 2));
        await instances.assignToHost(id, generation, 'a');
        await instances.markReady(id, generation, '10.0.0.9');
      }
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => pools.claimWarm('p', spec, {})),
      );
      const ids = answers.flatMap((answer) =>
        answer.kind === 'claimed' ? [answer.instance.id] : [],
      );
      expect(new Set(ids).size).toBe(2);
      expect(ids).toHaveLength(2);
    });
  });
}
