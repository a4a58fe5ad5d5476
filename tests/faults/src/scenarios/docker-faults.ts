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

/** Gives what did not hold while the fault lasted, in words. */
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
    // All others end as ever.
    const snapshot = await testbed.look();
    const broken = noneOverdue.broken(snapshot);
    return broken.filter((what) => ![...hung.values()].some((id) => what.includes(id)));
  },
  'the daemon away for a minute': async (_, relay) => {
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
    // The stream that stands is cut by this; the next one tells nothing.
    const [worker] = testbed.site.workers;
    worker?.child.kill('SIGTERM');
    await testbed.site.startWorker();
    for (const [container, id] of await someContainers(testbed, 3)) {
      testbed.expectations.damaged.add(id);
      // One that has ended meanwhile cannot be hurt any more.
      await testbed.daemon.command('kill', container).catch(() => undefined);
    }
    await sleep(5_000);
    return [];
  },
  'a name already taken': async (testbed, relay) => {
    const words = 'is taken by a foreign container';
    const over = testbed.expectations.expectFailures(new RegExp(words));
    const strangers = new Set<string>();
    relay.decide(async (_, path) => {
      const [, name] = /\/containers\/create\?.*name=([\w.-]+)/.exec(path) ?? [];
      if (name === undefined || strangers.size >= STRANGERS || strangers.has(name)) return 'pass';
      strangers.add(name);
      await testbed.daemon.command('create', '--name', name, 'ephemera/demo');
      return 'late';
    });
    await sleep(10_000);
    relay.release();
    over();
    const { instances } = await testbed.look();
    const failed = [...instances.values()].filter(({ message = '' }) => message.includes(words));
    // Whose container it is keeps it.
    await testbed.daemon.command('rm', ...strangers);
    print(`${failed.length} of ${strangers.size} starts have told of it: ${failed[0]?.message}`);
    return failed.length > 0 ? [] : ['no start has told of it'];
  },
};

/** How many names somebody else takes. */
const STRANGERS = 4;

/** Faults between one worker and its daemon, over a socket of its own: the daemon stays well. */
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
        const meanwhile = await fault(testbed, relay);
        relay.release();
        return meanwhile;
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

/** Some containers of instances that live, by their own ids. */
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
