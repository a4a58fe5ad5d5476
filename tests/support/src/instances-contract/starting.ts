import { AssignedToOtherHostError } from '@ephemera/lifecycle';
import { describe, expect, test } from 'vitest';
import { sampleDraft, sampleTemplate } from '../sample.ts';
import { waitFor } from '../wait-for.ts';
import { present } from './open-instances.ts';
import type { OpenInstances } from './open-instances.ts';

/** From creation to ready. */
export function startingContract(open: OpenInstances): void {
  describe('create', () => {
    test('creates a pending instance, with a start deadline below the ceiling', async () => {
      const { instances, create } = await open();
      const template = sampleTemplate({
        ready: { kind: 'tcp', within: 20_000 },
        maxTimeout: 90_000,
      });
      const draft = sampleDraft({ template, env: { A: '1' }, metadata: { who: 'ä€😀' } });
      const before = await instances.now();
      const created = await create(draft);
      expect(created).toMatchObject({ ...draft, state: 'pending', host: undefined });
      expect(created.createdAt).toBeGreaterThanOrEqual(before);
      expect(created.expiresAt).toBe(created.createdAt + 20_000);
      expect(created.maxExpiresAt).toBe(created.createdAt + 90_000);
      expect(await instances.get(draft.id)).toEqual(created);
    });

    test('limits the start deadline to the ceiling', async () => {
      const { create } = await open();
      const created = await create({ template: sampleTemplate({ maxTimeout: 5_000 }) });
      expect(created.expiresAt).toBe(created.maxExpiresAt);
    });

    test('refuses a used id, and leaves its instance unchanged', async () => {
      const { instances, create } = await open();
      const first = await create();
      await expect(create({ id: first.id, timeout: 1 })).rejects.toThrow(/taken/);
      expect(await instances.get(first.id)).toEqual(first);
    });

    test('assigns increasing generations', async () => {
      const { create } = await open();
      const generations = [];
      for (let i = 0; i < 5; i++) generations.push((await create()).generation);
      expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b));
    });

    test('returns undefined for an unknown id', async () => {
      const { instances } = await open();
      expect(await instances.get('nobody')).toBeUndefined();
    });
  });

  describe('assignToHost', () => {
    test('assigns a pending instance to a host', async () => {
      const { instances, create } = await open();
      const { id, generation, expiresAt } = await create();
      const assigned = await instances.assignToHost(id, generation, 'a');
      expect(assigned).toMatchObject({ id, generation, expiresAt, state: 'starting', host: 'a' });
      expect(await instances.ofHost('a')).toEqual([assigned]);
    });

    test('returns the same for the same host, so that a taken-over job continues', async () => {
      const { instances, assigned } = await open();
      const first = await assigned();
      expect(await instances.assignToHost(first.id, first.generation, 'a')).toEqual(first);
    });

    // A worker of host a died, and a worker of host b got its job. The job must not be lost.
    test('reports that another host has started it', async () => {
      const { instances, assigned, ready } = await open();
      const { id, generation } = await assigned();
      await expect(instances.assignToHost(id, generation, 'b')).rejects.toThrow(
        AssignedToOtherHostError,
      );
      expect(await instances.ofHost('b')).toEqual([]);
      const served = await ready();
      expect(await instances.assignToHost(served.id, served.generation, 'b')).toBeUndefined();
    });

    test('refuses another generation, a dead and an unknown id', async () => {
      const { instances, assigned, draining } = await open();
      const { id, generation } = await assigned();
      expect(await instances.assignToHost(id, generation + 1, 'a')).toBeUndefined();
      const ended = await draining();
      expect(await instances.assignToHost(ended.id, ended.generation, 'a')).toBeUndefined();
      await instances.finalize(ended.id, ended.generation);
      expect(await instances.assignToHost(ended.id, ended.generation, 'a')).toBeUndefined();
      expect(await instances.assignToHost('nobody', 1, 'a')).toBeUndefined();
    });

    test('two concurrent hosts: one gets it', async () => {
      const { instances, second, create } = await open();
      for (let round = 0; round < 50; round++) {
        const { id, generation } = await create();
        const answers = await Promise.allSettled([
          instances.assignToHost(id, generation, 'a'),
          second.assignToHost(id, generation, 'b'),
        ]);
        expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      }
    });
  });

  describe('markReady', () => {
    test('counts the TTL from ready, not from creation', async () => {
      const { instances, assigned } = await open();
      const template = sampleTemplate({ maxTimeout: 100_000 });
      const { id, generation, createdAt, maxExpiresAt } = await assigned({
        template,
        timeout: 7_000,
      });
      await waitFor('the clock to advance', async () => (await instances.now()) > createdAt + 5);
      const published = present(await instances.markReady(id, generation, '10.0.0.9'));
      expect(published.startedAt).toBeGreaterThan(createdAt + 5);
      expect(published.expiresAt).toBe(published.startedAt + 7_000);
      expect(published.maxExpiresAt).toBe(maxExpiresAt);
      expect(await instances.get(id)).toMatchObject({
        ...published,
        state: 'ready',
        address: '10.0.0.9',
      });
    });

    test('never passes the ceiling', async () => {
      const { instances, assigned } = await open();
      const template = sampleTemplate({ maxTimeout: 5_000 });
      const { id, generation, maxExpiresAt } = await assigned({ template, timeout: 5_000 });
      const published = await instances.markReady(id, generation, '10.0.0.9');
      expect(published?.expiresAt).toBe(maxExpiresAt);
    });

    test('returns the same for the same container, because a job may run twice', async () => {
      const { instances, second, assigned } = await open();
      const { id, generation } = await assigned();
      const [one, two] = await Promise.all([
        instances.markReady(id, generation, '10.0.0.9'),
        second.markReady(id, generation, '10.0.0.9'),
      ]);
      expect(one).toBeDefined();
      expect(two).toEqual(one);
      expect(await instances.markReady(id, generation, '10.0.0.8')).toBeUndefined();
      expect(await instances.get(id)).toMatchObject({ address: '10.0.0.9' });
    });

    test('refuses superseded, unassigned and unknown instances', async () => {
      const { instances, create, assigned, draining } = await open();
      const { id, generation } = await assigned();
      expect(await instances.markReady(id, generation - 1, '10.0.0.9')).toBeUndefined();
      const pending = await create();
      expect(await instances.markReady(pending.id, pending.generation, '10.0.0.9')).toBeUndefined();
      const ended = await draining();
      expect(await instances.markReady(ended.id, ended.generation, '10.0.0.9')).toBeUndefined();
      expect(await instances.markReady('nobody', 1, '10.0.0.9')).toBeUndefined();
      const other = await assigned();
      const from = (host: string) =>
        instances.markReady(other.id, other.generation, '10.0.0.9', host);
      expect(await from('b')).toBeUndefined();
      expect(await from('a')).toBeDefined();
    });
  });
}
