import { describe, expect, test } from 'vitest';
import type { OpenInstances } from './open-instances.ts';

/** Pausing and resuming. The lease continues while an instance is paused. */
export function suspendingContract(open: OpenInstances): void {
  describe('pause and resume', () => {
    test('leave the lease unchanged, and are idempotent', async () => {
      const { instances, suspensions, ready } = await open();
      const { id, generation, expiresAt } = await ready();
      for (let i = 0; i < 2; i++) {
        expect(await suspensions.pause(id)).toBe('paused');
        const paused = { state: 'paused', generation, expiresAt };
        expect(await instances.get(id)).toMatchObject(paused);
      }
      for (let i = 0; i < 2; i++) {
        const resumed = await suspensions.resume(id);
        expect(resumed).toMatchObject({ kind: 'resumed', sooner: false });
        expect(await instances.get(id)).toMatchObject({ state: 'ready', generation, expiresAt });
      }
    });

    test('a paused instance can be renewed and ended', async () => {
      const { instances, leases, suspensions, ready } = await open();
      const { id } = await ready();
      await suspensions.pause(id);
      const renewed = await leases.renew(id, { timeout: 120_000, shorten: false });
      expect(renewed.kind).toBe('renewed');
      expect(await instances.startDraining(id, 'start_failed')).toMatchObject({ kind: 'leased' });
      expect(await instances.startDraining(id, 'request')).toMatchObject({ kind: 'draining' });
      expect(await suspensions.resume(id)).toEqual({ kind: 'refused' });
    });

    test('are refused unless the instance serves, and absent for an unknown id', async () => {
      const { suspensions, create, draining } = await open();
      for (const { id } of [await create(), await draining()]) {
        expect(await suspensions.pause(id)).toBe('refused');
        expect(await suspensions.resume(id)).toEqual({ kind: 'refused' });
      }
      expect(await suspensions.pause('nobody')).toBe('absent');
      expect(await suspensions.resume('nobody')).toEqual({ kind: 'absent' });
    });
  });
}
