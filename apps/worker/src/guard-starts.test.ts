import { STRICTEST } from '@ephemera/domain';
import { StartFault } from '@ephemera/lifecycle';
import { memoryContainers } from '@ephemera/testing';
import { expect, test } from 'vitest';
import { begunInstance } from '../test/docker-scene.ts';
import { againstPolicy } from './against-policy.ts';
import { guardStarts } from './guard-starts.ts';

const next = () => Promise.resolve(1);
const says = (text: string) => () => Promise.resolve([text]);
const tell = () => Promise.resolve(true);

test('what the policy of this host does not allow is never created, whoever asked for it', async () => {
  const containers = memoryContainers();
  const guarded = guardStarts(containers, [againstPolicy(() => STRICTEST)]);
  const weak = begunInstance({ capAdd: ['SYS_ADMIN'], runtime: 'kata' });
  const started = guarded.start(weak, next, tell);
  await expect(started).rejects.toThrow(StartFault);
  await expect(started).rejects.toThrow(
    'capAdd.0: "SYS_ADMIN" is not in allow.capabilities; runtime: "kata" is not in allow.runtimes.',
  );
  expect(await containers.list()).toEqual([]);
  expect(await guarded.start(begunInstance(), next, tell)).toBeDefined();
  expect(await containers.list()).toHaveLength(1);
});

test('every objection is told', async () => {
  const guarded = guardStarts(memoryContainers(), [says('one'), says('two')]);
  await expect(guarded.start(begunInstance(), next, tell)).rejects.toThrow('one; two.');
});
