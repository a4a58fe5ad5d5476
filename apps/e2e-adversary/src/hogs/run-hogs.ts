import { setTimeout as sleep } from 'node:timers/promises';
import { deploy } from '@ephemera/testing';
import type { Deployment } from '@ephemera/testing';
import type { Options } from '../options.ts';
import { print, table } from '../report.ts';
import { percentile } from '../restart/load.ts';
import { HOGS, hogTemplates } from './hogs.ts';
import { start, timeAnswers } from './neighbour.ts';

const WINDOW = { ms: 2_000, perSecond: 100 };
/** How much longer a neighbour's p99 may be. */
const MOST = 1.5;

/**
 * Times a neighbour's answers through the proxy without and with one hog beside it. The hog is
 * frozen for every other window, so that whatever else the machine does hits both alike.
 */
export async function runHogs({ count, case: only }: Options): Promise<boolean> {
  const turns = Number(count ?? 10);
  const site = await deploy({ templates: hogTemplates() });
  try {
    const neighbour = await start(site, 'neighbour');
    for (let i = 0; i < 3; i++) await timeAnswers(site, neighbour, WINDOW);
    const rows: string[][] = [];
    let good = true;
    for (const name of only === undefined ? Object.keys(HOGS) : [only]) {
      const { without, beside } = await compare(site, neighbour, name.toLowerCase(), turns);
      const cells = [0.5, 0.99].flatMap((share) => {
        const [before, during] = [percentile(without, share), percentile(beside, share)];
        if (share === 0.99) good &&= during <= before * MOST;
        return [`${before.toFixed(1)}, ${during.toFixed(1)} ms`, (during / before).toFixed(2)];
      });
      rows.push([name, String(beside.length), ...cells]);
    }
    const head = ['hog', 'answers', 'p50 without, beside', 'times', 'p99 without, beside', 'times'];
    print(table(head, rows));
    // The host lives: another instance starts, and answers.
    await timeAnswers(site, await start(site, 'neighbour'), WINDOW);
    return good;
  } finally {
    await site.stop();
  }
}

/** The times of answers while a hog is frozen, and while it runs; in rising order. */
async function compare(site: Deployment, neighbour: string, template: string, turns: number) {
  const hog = await start(site, template);
  const without: number[] = [];
  const beside: number[] = [];
  const post = async (what: 'pause' | 'resume') => {
    const { status } = await site.api('POST', `/v1/instances/${hog}/${what}`);
    if (status !== 200) throw new Error(`${what} of ${template}: ${status}`);
    await sleep(500);
  };
  // It begins a second after it is ready, and takes what it can get in one or two more.
  await sleep(3_000);
  for (let turn = 0; turn < turns; turn++) {
    beside.push(...(await timeAnswers(site, neighbour, WINDOW)));
    await post('pause');
    without.push(...(await timeAnswers(site, neighbour, WINDOW)));
    await post('resume');
  }
  await site.api('DELETE', `/v1/instances/${hog}`);
  const sorted = (times: number[]) => times.sort((a, b) => a - b);
  return { without: sorted(without), beside: sorted(beside) };
}
