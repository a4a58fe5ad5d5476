import { setTimeout as sleep } from 'node:timers/promises';
import { print } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import { noneOverdue } from '../invariants/containers.ts';
import { containerId } from '../invariants/snapshot.ts';
import type { Options } from '../options.ts';
import { Report } from '../report.ts';
import { liveIds } from '../load/background.ts';
import { type DockerRelay, startDockerRelay } from '../load/docker-relay.ts';
import { runUnderFault } from './run-under-fault.ts';
import { printExpectations } from './recover.ts';

/** Returns descriptions of what was wrong while the fault lasted. */
type Fault = (testbed: Testbed, relay: DockerRelay) => Promise<string[]>;

export const DOCKER_FAULTS: Readonly<Record<string, Fault>> = {
  'stops and removals that never answer, for some': async (testbed, relay) => {
    const hung = await someContainers(testbed, 3);
    relay.decide((method, path) => {
      const ends = method === 'DELETE' || path.includes('/stop');
      return ends && [...hung.keys()].some((text) => path.includes(text)) ? 'hold' : 'pass';
    });
    for (const id of hung.values()) testbed.expectations.damaged.add(id);
    await sleep(35_000);
    // All other instances must end as usual.
    const snapshot = await testbed.readSnapshot();
    const broken = noneOverdue.broken(snapshot);
    return broken.filter((what) => ![...hung.values()].some((id) => what.includes(id)));
  },
  'the daemon unreachable for a minute': async (_, relay) => {
    relay.decide(() => 'cut');
    await sleep(60_000);
    return [];
  },
  'no call answered for 20 s': async (_, relay) => {
    relay.decide(() => 'hold');
    await sleep(20_000);
    return [];
  },
  'events missed': async (testbed, relay) => {
    relay.decide((_, path) => (path.includes('/events') ? 'hold' : 'pass'));
    // The restart closes the current event stream. The next stream delivers no events.
    const [worker] = testbed.site.workers;
    worker?.child.kill('SIGTERM');
    await testbed.site.startWorker();
    for (const [container, id] of await someContainers(testbed, 3)) {
      testbed.expectations.damaged.add(id);
      // Fails for a container that has already exited.
      await testbed.daemon.command('kill', container).catch(() => undefined);
    }
    await sleep(5_000);
    return [];
  },
  'a name already taken': async (testbed, relay) => {
    const words = 'is taken by a foreign container';
    const endFailures = testbed.expectations.expectFailures(new RegExp(words));
    const foreignNames = new Set<string>();
    relay.decide(async (_, path) => {
      const [, name] = /\/containers\/create\?.*name=([\w.-]+)/.exec(path) ?? [];
      if (name === undefined || foreignNames.size >= FOREIGN_CONTAINERS || foreignNames.has(name))
        return 'pass';
      foreignNames.add(name);
      await testbed.daemon.command('create', '--name', name, 'ephemera/demo');
      return 'late';
    });
    await sleep(10_000);
    relay.release();
    endFailures();
    const { instances } = await testbed.readSnapshot();
    const failed = [...instances.values()].filter(({ message = '' }) => message.includes(words));
    // Removal by hand works only if Ephemera did not remove the foreign containers.
    await testbed.daemon.command('rm', ...foreignNames);
    print(
      `${failed.length} of ${foreignNames.size} starts failed with this message: ${failed[0]?.message}`,
    );
    return failed.length > 0 ? [] : ['no start failed with this message'];
  },
};

/** Number of foreign containers. */
const FOREIGN_CONTAINERS = 4;

/** Faults on the connection between one worker and its daemon. The daemon itself works. */
export async function dockerFaults({ seed, steps: only }: Options): Promise<boolean> {
  const report = new Report();
  const relay = await startDockerRelay();
  const env = { DOCKER_HOST: `unix://${relay.socketPath}` };
  const testbed = await startTestbed({ seed, env }).catch(async (error: unknown) => {
    await relay.stop();
    throw error;
  });
  try {
    for (const [name, fault] of Object.entries(DOCKER_FAULTS)) {
      if (only.length > 0 && !only.includes(name)) continue;
      const made = async () => {
        const violations = await fault(testbed, relay);
        relay.release();
        return violations;
      };
      await runUnderFault(testbed, report, name, made, () => relay.disturbed > 0);
    }
  } finally {
    relay.release();
    printExpectations(testbed);
    await testbed.stop();
    await relay.stop();
  }
  report.print();
  return report.holds;
}

/**
 * Returns up to `count` running containers of live instances: their container ids with the instance
 * ids.
 */
async function someContainers(testbed: Testbed, count: number): Promise<Map<string, string>> {
  const live = new Set(liveIds(testbed.expectations));
  const running = (await testbed.daemon.containers()).filter(
    (listedContainer) =>
      live.has(containerId(listedContainer)) && listedContainer.State === 'running',
  );
  return new Map(
    running
      .slice(0, count)
      .map((listedContainer) => [listedContainer.Id, containerId(listedContainer)]),
  );
}
