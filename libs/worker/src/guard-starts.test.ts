import { STRICTEST } from '@ephemera/domain';
import { StartFault } from '@ephemera/lifecycle';
import { memoryContainers } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { begunInstance } from '../test/docker-fixture.ts';
import { againstPolicy } from './against-policy.ts';
import { guardStarts } from './guard-starts.ts';
import { requireBounds } from './require-bounds.ts';

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

test.each([
  [{ memory: 0 }, 'limits.memory: must be from 1 to 1073741824.'],
  [{ pids: -1 }, 'limits.pids: must be from 1 to 1000000.'],
  [{ cpus: 1e-9 }, 'limits.cpus: must be from 0.01 to 512.'],
  [{ cpus: NaN }, 'limits.cpus: must be from 0.01 to 512.'],
  [{ memory: 2 ** 50 }, 'limits.memory: must be from 1 to 1073741824.'],
  [{ pids: 4e6 }, 'limits.pids: must be from 1 to 1000000.'],
  [{ cpus: 1e6 }, 'limits.cpus: must be from 0.01 to 512.'],
])('what Docker takes for no bound, or nothing reaches, is none: %o', async (limits, text) => {
  const guarded = guardStarts(memoryContainers(), [requireBounds(1024 ** 3)]);
  const whole = begunInstance();
  const started = guarded.start(
    begunInstance({ limits: { ...whole.template.limits, ...limits } }),
    next,
    tell,
  );
  await expect(started).rejects.toThrow(text);
  expect(await guarded.start(whole, next, tell)).toBeDefined();
});

test('every objection is told', async () => {
  const guarded = guardStarts(memoryContainers(), [says('one'), says('two')]);
  await expect(guarded.start(begunInstance(), next, tell)).rejects.toThrow('one; two.');
});
