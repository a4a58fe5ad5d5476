import { setTimeout as sleep } from 'node:timers/promises';
import { print } from '@ephemera/testing';
import { type Ground, startGround } from '../ground.ts';
import { noneOverdue } from '../invariants/containers.ts';
import { containerId } from '../invariants/scene.ts';
import type { Options } from '../options.ts';
import { Tally } from '../tally.ts';
import { liveIds } from '../load/background.ts';
import { type DockerRelay, startDockerRelay } from '../load/docker-relay.ts';
import { printLedger } from './recover.ts';

/** Gives what did not hold while the fault lasted, in words. */
type Fault = (ground: Ground, relay: DockerRelay) => Promise<string[]>;

const FAULTS: Readonly<Record<string, Fault>> = {
  'stops and removals that never answer, for some': async (ground, relay) => {
    const hung = await someContainers(ground, 3);
    relay.decide((method, path) => {
      const ends = method === 'DELETE' || path.includes('/stop');
      return ends && [...hung.keys()].some((each) => path.includes(each)) ? 'hold' : 'pass';
    });
    for (const id of hung.values()) ground.ledger.hurt.add(id);
    await sleep(35_000);
    // All others end as ever.
    const scene = await ground.look();
    const broken = noneOverdue.broken(scene);
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
  'events missed': async (ground, relay) => {
    relay.decide((_, path) => (path.includes('/events') ? 'hold' : 'pass'));
    // The stream that stands is cut by this; the next one tells nothing.
    const [worker] = ground.site.workers;
    worker?.child.kill('SIGTERM');
    await ground.site.startWorker();
    for (const [container, id] of await someContainers(ground, 3)) {
      ground.ledger.hurt.add(id);
      await ground.daemon.command('kill', container);
    }
    await sleep(5_000);
    return [];
  },
};

const WORK = 5_000;

/** Faults between one worker and its daemon, over a socket of its own: the daemon stays well. */
export async function dockerFaults({ seed, steps: only }: Options): Promise<boolean> {
  const tally = new Tally();
  const relay = await startDockerRelay();
  const env = { DOCKER_HOST: `unix://${relay.socketPath}` };
  const ground = await startGround({ seed, env }).catch(async (error: unknown) => {
    await relay.stop();
    throw error;
  });
  try {
    for (const [name, fault] of Object.entries(FAULTS)) {
      if (only.length > 0 && !only.includes(name)) continue;
      await sleep(WORK);
      const meanwhile = await fault(ground, relay);
      relay.release();
      const since = performance.now();
      tally.run(name, relay.disturbed > 0);
      await sleep(WORK);
      const { took, broken } = await ground.recovered({ since });
      const during = meanwhile.map((what) => ({ invariant: 'while it lasted', what }));
      tally.recovered([name], took, [...during, ...broken]);
      print(`${name}: recovered in ${(took / 1000).toFixed(1)} s`);
      ground.background.resume();
    }
  } finally {
    relay.release();
    printLedger(ground);
    await ground.stop();
    await relay.stop();
  }
  tally.print();
  return tally.holds;
}

/** Some containers of instances that live, by their own ids. */
async function someContainers(ground: Ground, count: number): Promise<Map<string, string>> {
  const live = new Set(liveIds(ground.ledger));
  const running = (await ground.daemon.containers()).filter(
    (each) => live.has(containerId(each)) && each.State === 'running',
  );
  return new Map(running.slice(0, count).map((each) => [each.Id, containerId(each)]));
}
