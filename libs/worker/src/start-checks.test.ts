import { STRICT_POLICY } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import { memoryContainers } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { assignedInstance } from '../test/docker-fixture.ts';
import { policyCheck, withStartChecks, limitsCheck } from './start-checks.ts';

const next = () => Promise.resolve(1);
const says = (text: string) => () => Promise.resolve([text]);
const reportProgress = () => Promise.resolve(true);

test('a template against the policy of this host is never started', async () => {
  const containers = memoryContainers();
  const guarded = withStartChecks(containers, [policyCheck(() => STRICT_POLICY)]);
  const weak = assignedInstance({ capAdd: ['SYS_ADMIN'], runtime: 'kata' });
  const started = guarded.start(weak, next, reportProgress);
  await expect(started).rejects.toThrow(ContainerStartError);
  await expect(started).rejects.toThrow(
    'capAdd.0: "SYS_ADMIN" is not in allow.capabilities; runtime: "kata" is not in allow.runtimes.',
  );
  expect(await containers.list()).toEqual([]);
  expect(await guarded.start(assignedInstance(), next, reportProgress)).toBeDefined();
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
])('a limit that Docker ignores or that has no effect is refused: %o', async (limits, text) => {
  const guarded = withStartChecks(memoryContainers(), [limitsCheck(1024 ** 3)]);
  const whole = assignedInstance();
  const started = guarded.start(
    assignedInstance({ limits: { ...whole.template.limits, ...limits } }),
    next,
    reportProgress,
  );
  await expect(started).rejects.toThrow(text);
  expect(await guarded.start(whole, next, reportProgress)).toBeDefined();
});

test('every reason is reported', async () => {
  const guarded = withStartChecks(memoryContainers(), [says('one'), says('two')]);
  await expect(guarded.start(assignedInstance(), next, reportProgress)).rejects.toThrow(
    'one; two.',
  );
});
