import { setTimeout as sleep } from 'node:timers/promises';
import { type Background, liveIds } from '../load/background.ts';
import {
  type ClientPorts,
  type Resource,
  create,
  kill,
  renew,
  send,
  visit,
} from '../load/clients.ts';
import { useTunnel } from './tunnel.ts';

/** The templates of new instances, in proportion to their frequency. */
const TEMPLATES = ['page', 'page', 'page', 'pooled', 'pooled', 'tunnel', 'tunnel', 'few'];

/** Number of live instances that the clients aim at; suits two cores that also run the test. */
const LIVE = 24;
const CREATORS = 4;
const VISITORS = 8;
const TUNNELS = 4;

/** Runs creations, claims, renewals, kills, pauses, requests and tunnels at a steady rate. */
export function startWork(ports: ClientPorts): Background {
  const { expectations, random, site } = ports;
  const paused = new Set<string>();
  let on = false;
  let stopped: Promise<unknown> = Promise.resolve();

  const loop = async (pause: number, work: () => Promise<unknown>) => {
    while (on) {
      await work();
      await sleep(pause + random(pause));
    }
  };
  const someOf = (which: (template: string) => boolean) => {
    const ids = liveIds(expectations).filter((id) => {
      const { template = '' } = expectations.promised.get(id) ?? {};
      return which(template) && !paused.has(id);
    });
    return ids[random(ids.length || 1)];
  };
  const withSome =
    (work: (id: string) => Promise<unknown>, which: (template: string) => boolean = () => true) =>
    async () => {
      const id = someOf(which);
      if (id !== undefined) await work(id);
    };
  const creating = async () => {
    if (liveIds(expectations).length >= LIVE) return;
    const template = TEMPLATES[random(TEMPLATES.length)] ?? 'page';
    const timeout = template === 'few' ? 3 + random(5) : 15 + random(45);
    const id = await create(ports, template, timeout);
    if (id !== undefined) await untilReady(id);
  };
  /** Each creator waits for its instance, so a slow machine gets fewer creations. */
  const untilReady = async (id: string) => {
    const promise = expectations.promised.get(id);
    while (promise && promise.promisedUntil === undefined) {
      const answer = await send(ports, 'GET', `/v1/instances/${id}`);
      const { expiresAt = '', status } = (answer?.body ?? {}) as Partial<Resource>;
      if (status?.state === 'ready') promise.promisedUntil = Date.parse(expiresAt);
      else if (status?.state !== 'pending' && status?.state !== 'starting') return;
      await sleep(300);
    }
  };
  const resume = (id: string) => send(ports, 'POST', `/v1/instances/${id}/resume`);
  const pausing = async (id: string) => {
    // Marked before the request: a pause without a response may have been done.
    paused.add(id);
    await send(ports, 'POST', `/v1/instances/${id}/pause`);
    await sleep(500 + random(1_500));
    if ((await resume(id)) !== undefined) paused.delete(id);
  };
  const isPage = (template: string) => template !== 'tunnel';
  const start = () => {
    on = true;
    const visiting = withSome((id) => visit(ports, id), isPage);
    const tunnelling = withSome(
      (id) => useTunnel(site.publicUrls[random(site.publicUrls.length)] ?? '', id, expectations),
      (template) => template === 'tunnel',
    );
    return Promise.all([
      ...Array.from({ length: CREATORS }, () => loop(400, creating)),
      loop(
        1_000,
        withSome((id) => renew(ports, id, 10 + random(40))),
      ),
      loop(
        3_000,
        withSome((id) => kill(ports, id)),
      ),
      loop(4_000, withSome(pausing, isPage)),
      ...Array.from({ length: VISITORS }, () => loop(100, visiting)),
      ...Array.from({ length: TUNNELS }, () => loop(500, tunnelling)),
    ]);
  };
  stopped = start();
  return {
    async pause() {
      on = false;
      await stopped;
      for (const id of paused) if ((await resume(id)) !== undefined) paused.delete(id);
    },
    resume() {
      if (!on) stopped = start();
    },
  };
}
