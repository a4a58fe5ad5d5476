import { setTimeout as sleep } from 'node:timers/promises';
import { deploy } from '@ephemera/testing';
import type { Deployment } from '@ephemera/testing';
import { HOGS, hogTemplates } from './hogs.ts';

/** How long one window of requests lasts, and how many there are in a second. */
const WINDOW = 6_000;
const RATE = 50;
/** Windows with and without each hog, in turn. */
const TURNS = 2;
/** How much longer a neighbour's p99 may be. */
const MOST = 1.5;

/**
 * Times a neighbour's answers through the proxy without and with one hog beside it, in turn, so
 * that whatever else the machine does hits both alike.
 */
export async function runHogs(): Promise<boolean> {
  const site = await deploy({ templates: hogTemplates() });
  try {
    const neighbour = await start(site, 'neighbour');
    await times(site, neighbour);
    let good = true;
    for (const name of Object.keys(HOGS)) {
      const without: number[] = [];
      const beside: number[] = [];
      for (let turn = 0; turn < TURNS; turn++) {
        without.push(...(await times(site, neighbour)));
        const hog = await start(site, name.toLowerCase());
        await sleep(1_500);
        beside.push(...(await times(site, neighbour)));
        await site.api('DELETE', `/v1/instances/${hog}`);
      }
      const [before, during] = [p99(without), p99(beside)];
      const ratio = during / before;
      good &&= ratio <= MOST;
      const figures = `${before.toFixed(1)} → ${during.toFixed(1)} ms, ${ratio.toFixed(2)}×`;
      process.stdout.write(`${name}: p99 of a neighbour ${figures}\n`);
    }
    // The host lives: another instance starts, and answers.
    await start(site, 'neighbour');
    return good;
  } finally {
    await site.stop();
  }
}

/** Starts an instance, and waits until it is ready. */
async function start(site: Deployment, template: string): Promise<string> {
  const answer = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  const { id, status } = (await answer.json()) as { id: string; status: { state: string } };
  if (status.state !== 'ready') throw new Error(`${template} is ${status.state}`);
  return id;
}

/** The time of each answer in a window, ms; requests are sent at their times, whatever others take. */
async function times({ publicUrls }: Deployment, id: string): Promise<number[]> {
  const all = Array.from({ length: (WINDOW / 1000) * RATE }, async (_, i) => {
    await sleep((i * 1000) / RATE);
    const began = performance.now();
    const answer = await fetch(`${publicUrls[0] ?? ''}/demo/${id}/id`);
    if ((await answer.text()) !== id) throw new Error(`the neighbour answered ${answer.status}`);
    return performance.now() - began;
  });
  return Promise.all(all);
}

function p99(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Infinity;
}
