import { describe, expect, test } from 'vitest';
import type { Instance } from '@ephemera/domain';
import { sampleDraft, sampleTemplate } from '../sample.ts';
import { byId, drained, present } from './open-instances.ts';
import type { OpenInstances } from './open-instances.ts';

/** Lists, and restoring after a loss. */
export function keepingContract(open: OpenInstances): void {
  describe('lists', () => {
    test('of a host contain the live instances that it has started', async () => {
      const { instances, create, assigned, ready, draining } = await open();
      await create();
      const mine = [await assigned(), await ready(), await draining()];
      const dead = await draining();
      await instances.finalize(dead.id, dead.generation);
      const theirs = await create();
      await instances.assignToHost(theirs.id, theirs.generation, 'b');
      expect(byId(await instances.ofHost('a'))).toEqual(byId(mine));
    });

    test('of a host show each change to a caller that knows the instances from before', async () => {
      const { instances, leases, suspensions, pools, assigned, ready } = await open();
      const read = async (known: readonly Instance[]) =>
        byId(await instances.ofHost('a', new Map(known.map((item) => [item.id, item]))));
      let known: Instance[] = [];
      const expectFresh = async () => {
        const seen = await read(known);
        expect(seen).toEqual(byId(await instances.ofHost('a')));
        known = seen;
      };
      const starting = await assigned();
      const { id, expiresAt } = await ready();
      await expectFresh();
      await instances.markReady(starting.id, starting.generation, '10.0.0.8');
      await expectFresh();
      await leases.renew(id, { expiresAt: expiresAt + 5_000, shorten: false });
      await expectFresh();
      await suspensions.pause(id);
      await expectFresh();
      await suspensions.resume(id);
      await expectFresh();
      const warm = present(await pools.createWarm(sampleDraft(), 'p', 1));
      present(await instances.assignToHost(warm.id, warm.generation, 'a'));
      present(await instances.markReady(warm.id, warm.generation, '10.0.0.7'));
      await expectFresh();
      expect((await pools.claimWarm('p', sampleDraft(), {})).kind).toBe('claimed');
      await expectFresh();
      const ended = drained(await instances.startDraining(id, 'request'));
      await expectFresh();
      await instances.finalize(id, ended.generation);
      await expectFresh();
      expect(known.map((item) => item.id).sort()).toEqual([starting.id, warm.id].sort());
    });

    test('of unassigned instances contain those that no host started by the start deadline', async () => {
      const { instances, create, assigned } = await open();
      const slow = await create({
        template: sampleTemplate({ ready: { kind: 'tcp', within: 9_000 } }),
      });
      const slower = await create();
      await assigned();
      expect(await instances.unassignedOverdue(slow.expiresAt - 1)).toEqual([]);
      expect(await instances.unassignedOverdue(slow.expiresAt)).toEqual([slow]);
      const all = await instances.unassignedOverdue(slower.expiresAt);
      expect(byId(all)).toEqual(byId([slow, slower]));
    });
  });

  test('a pending instance is listed until a worker starts it', async () => {
    const { instances, create, assigned, ready } = await open();
    const { id, generation, createdAt } = await create();
    await assigned();
    await ready();
    expect(await instances.pendingWithoutHost(createdAt - 1)).toEqual([]);
    expect(await instances.pendingWithoutHost(createdAt)).toEqual([{ id, generation }]);
    await instances.assignToHost(id, generation, 'a');
    expect(await instances.pendingWithoutHost(await instances.now())).toEqual([]);
  });

  describe('restore', () => {
    test('restores a lost instance as ready', async () => {
      const { instances: before, ready } = await open();
      const lost = await ready({ metadata: { who: 'x' } });
      expect(await before.restore(lost)).toBe(false);
      const { instances, create } = await open();
      expect(await instances.restore(lost)).toBe(true);
      expect(await instances.get(lost.id)).toEqual(lost);
      expect(await instances.ofHost('a')).toEqual([lost]);
      expect((await create()).generation).toBeGreaterThan(lost.generation);
      const ended = drained(await instances.startDraining(lost.id, 'request'));
      expect(ended.generation).toBeGreaterThan(lost.generation);
    });

    test('two concurrent calls restore it once', async () => {
      const { ready } = await open();
      const lost = await ready();
      const { instances, second } = await open();
      const done = await Promise.all([instances.restore(lost), second.restore(lost)]);
      expect(done.sort()).toEqual([false, true]);
    });

    test('never restores a dead instance', async () => {
      const { instances, ready } = await open();
      const living = await ready();
      const { generation } = drained(await instances.startDraining(living.id, 'request'));
      expect(await instances.restore(living)).toBe(false);
      await instances.finalize(living.id, generation);
      expect(await instances.restore(living)).toBe(false);
      expect(await instances.get(living.id)).toMatchObject({ state: 'gone' });
    });
  });
}
