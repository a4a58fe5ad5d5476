import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Scenario } from '../bench.ts';
import { startReplica } from '../contenders/ephemera.ts';
import { readProfile } from '../cpu-profile.ts';
import type { CpuProfile } from '../cpu-profile.ts';
import { pathOf } from '../instances.ts';
import { wrk } from '../loads/wrk.ts';
import { publishRoutes } from '../publish-routes.ts';
import { spreadOf } from '../rounds.ts';

const SECONDS = 4;
const SHOWN = 24;
/** Code areas below this fraction of the time are not shown. */
const LEAST = 0.005;

/** CPU time of the proxy process by code area and function, from the sampling profiler of V8. */
export const profile: Scenario = {
  name: 'profile',
  title: 'CPU profile of the proxy: 200 instances, self time',
  async run(bench) {
    const folder = join(bench.dir, 'profile');
    mkdirSync(folder, { recursive: true });
    const namespace = `bench-${randomBytes(4).toString('hex')}`;
    const redis = new Redis(bench.redisUrl);
    await publishRoutes(redis, namespace, bench.instances).finally(() => redis.disconnect());
    const nodeArguments = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=500'];
    const { port, process } = await startReplica(bench, { namespace, nodeArguments });
    let window: readonly [number, number];
    {
      await using _ends = process;
      const paths = bench.instances.map((instance) => pathOf(instance));
      const load = { dir: bench.dir, port, paths, connections: 64 };
      await wrk({ ...load, seconds: 2 });
      const from = micros();
      await wrk({ ...load, seconds: SECONDS });
      window = [from, micros()];
    }
    const [file] = readdirSync(folder);
    if (file === undefined) throw new Error('no profile was written');
    const text = readFileSync(join(folder, file), 'utf8');
    const { areas, functions } = readProfile(JSON.parse(text) as CpuProfile, window);
    const row = ([name, share]: readonly [string, number]) => ({
      name,
      figures: { 'self time %': spreadOf([share * 100]) },
    });
    return {
      figures: ['self time %'],
      rows: [
        ...areas.filter(([, share]) => share >= LEAST).map(row),
        ...functions.slice(0, SHOWN).map(row),
      ],
      ratios: [],
      notes: ['First by code area, then by function.'],
    };
  },
};

/** The clock of the profile timestamps. */
function micros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
