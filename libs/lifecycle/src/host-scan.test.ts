import type { Instance } from '@ephemera/domain';
import { sampleTemplate } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { oneHost } from '../test/one-host.ts';
import type { Through } from '../test/one-host.ts';
import { newHostScan } from './host-scan.ts';
import { FULL_READ_RUNS } from './limits.ts';

/**
 * A store that returns what the caller knows, unless its version has changed. Counts the instances that
 * it has read.
 */
function versioned() {
  const read: string[] = [];
  const through: Through = ({ instances, ...ports }) => ({
    ...ports,
    instances: {
      ...instances,
      async get(id) {
        read.push(id);
        return instances.get(id);
      },
      async ofHost(host, known = new Map<string, Instance>()) {
        return (await instances.ofHost(host)).map((instance) => {
          const same = known.get(instance.id);
          const isSame =
            same?.generation === instance.generation &&
            same.state === instance.state &&
            same.expiresAt === instance.expiresAt;
          if (isSame) return same;
          read.push(instance.id);
          return instance;
        });
      },
    },
  });
  return { read, through };
}

test('an instance is read when it changes, and otherwise once in ten runs', async () => {
  const host = oneHost();
  const [{ id }, changed] = [await host.ready(), await host.ready()];
  const { read, through } = versioned();
  const scan = newHostScan();
  const run = async () => {
    read.length = 0;
    await host.reconcile(through, { scan });
    return [...read];
  };
  expect((await run()).sort()).toEqual([id, changed.id].sort());
  let reads = 0;
  for (let i = 0; i < FULL_READ_RUNS; i++) {
    reads += (await run()).filter((item) => item === id).length;
  }
  expect(reads).toBe(1);
});

test('an instance that was used since it was read is read again before it is ended', async () => {
  const host = oneHost();
  const template = sampleTemplate({ idleTimeout: 30_000, timeout: 3_600_000 });
  const { id } = await host.ready({ template, timeout: 3_600_000 });
  const { read, through } = versioned();
  const scan = newHostScan();
  await host.reconcile(through, { scan });
  host.clock.advance(25_000);
  await host.instances.touch([id]);
  host.clock.advance(25_000);
  read.length = 0;
  await host.reconcile(through, { scan });
  expect(read).toContain(id);
  expect(host.repaired).toEqual([]);
  expect((await host.instances.get(id))?.state).toBe('ready');
});

test('a container that exits is found although its instance is remembered', async () => {
  const host = oneHost();
  const { id } = await host.ready();
  const { through } = versioned();
  const scan = newHostScan();
  await host.reconcile(through, { scan });
  host.clock.advance(10_000);
  host.containers.exit(id, { exitCode: 3 });
  await host.reconcile(through, { scan });
  expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'exited' });
});
