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
/** Rooms below this share of the time are left out. */
const LEAST = 0.005;

/** Where the time goes in the product's process, by V8's own sampling. */
export const profile: Scenario = {
  name: 'profile',
  title: 'Where the time of a request goes: 200 instances, self time by V8’s profiler',
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
    const { rooms, functions } = readProfile(JSON.parse(text) as CpuProfile, window);
    const row = ([name, share]: readonly [string, number]) => ({
      name,
      figures: { 'self time %': spreadOf([share * 100]) },
    });
    return {
      figures: ['self time %'],
      rows: [
        ...rooms.filter(([, share]) => share >= LEAST).map(row),
        ...functions.slice(0, SHOWN).map(row),
      ],
      ratios: [],
      notes: ['First by room, then by function.'],
    };
  },
};

/** The clock that profiles are stamped with. */
function micros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
