import { setTimeout as sleep } from 'node:timers/promises';
import { deploy, percentile, print, table } from '@ephemera/test-support';
import type { Deployment } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { HOGS, hogTemplates } from './hogs.ts';
import { start, timeAnswers, urlsOf } from './neighbour.ts';

const WINDOW = { ms: 2_000, perSecond: 100 };
/** How many times longer the p99 of a neighbour may be. */
const MAX_SLOWDOWN = 1.5;

const PATHS = ['through', 'direct'] as const;
type Path = (typeof PATHS)[number];
type Times = Record<Path, number[]>;

/**
 * Measures the response times of a neighbour with and without one hog, through the proxy and
 * directly. A delay in both is caused by the machine. The hog is paused in every other window, so
 * that other load on the machine affects both alike.
 */
export async function runHogs({ count, case: only }: Options): Promise<boolean> {
  const turns = count ?? 10;
  const site = await deploy({ templates: hogTemplates() });
  try {
    const neighbour = await start(site, 'neighbour');
    const urls = await urlsOf(site, neighbour);
    const time = () => timeAnswers(urls, neighbour, WINDOW);
    for (let i = 0; i < 3; i++) await time();
    const rows: string[][] = [];
    let good = true;
    for (const name of only === undefined ? Object.keys(HOGS) : [only]) {
      const { without, beside } = await compare(site, time, name.toLowerCase(), turns);
      const waits = (path: Path, share: number) =>
        [without, beside].map((times) => percentile(times[path], share)) as [number, number];
      const cells = ([...PATHS] as const).flatMap((path) =>
        [0.5, 0.99].flatMap((share) => {
          const [before, during] = waits(path, share);
          return [`${before.toFixed(1)}, ${during.toFixed(1)}`, (during / before).toFixed(2)];
        }),
      );
      const [through, direct] = PATHS.map((path) => {
        const [before, during] = waits(path, 0.99);
        return during / before;
      }) as [number, number];
      // A delay of the container itself is caused by the machine.
      good &&= name === 'nothing' || through <= Math.max(MAX_SLOWDOWN, direct);
      rows.push([name, String(beside.through.length), ...cells]);
    }
    print(table(HEAD, rows));
    // The host still works: another instance starts and responds.
    const other = await start(site, 'neighbour');
    await timeAnswers(await urlsOf(site, other), other, WINDOW);
    return good;
  } finally {
    await site.stop();
  }
}

const HEAD = [
  'hog',
  'answers',
  ...PATHS.flatMap((path) => [`${path}: p50 without, beside, ms`, 'times', 'p99', 'times']),
];

/** The response times while a hog is paused, and while it runs; ascending. */
async function compare(
  site: Deployment,
  time: () => Promise<Times>,
  template: string,
  turns: number,
): Promise<{ without: Times; beside: Times }> {
  const hog = await start(site, template);
  const without: Times = { through: [], direct: [] };
  const beside: Times = { through: [], direct: [] };
  const measure = async (all: Times) => {
    const window = await time();
    for (const path of PATHS) all[path].push(...window[path]);
  };
  const post = async (what: 'pause' | 'resume') => {
    const { status } = await site.api('POST', `/v1/instances/${hog}/${what}`);
    if (status !== 200) throw new Error(`${what} of ${template}: ${status}`);
    await sleep(500);
  };
  // The hog starts a second after the instance is ready, and needs one or two more to reach its
  // limits.
  await sleep(3_000);
  for (let turn = 0; turn < turns; turn++) {
    await measure(beside);
    await post('pause');
    await measure(without);
    await post('resume');
  }
  await site.api('DELETE', `/v1/instances/${hog}`);
  for (const times of [...Object.values(without), ...Object.values(beside)]) {
    times.sort((a, b) => a - b);
  }
  return { without, beside };
}
