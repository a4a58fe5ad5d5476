/**
 * Compares the data path with other proxies. Each proxy runs on one core, and the rounds alternate
 * between them.
 *
 *     npm run bench -- [--quick] [--only fleet,latency] [--rounds 5] [--seconds 3]
 *
 * Prints tables, writes bench-results/data-path.json, and leaves no process running. Exits with 1
 * if a target was missed or not measured.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, readCommandLine, startRedis } from '@ephemera/test-support';
import type { Bench, Outcome, Scenario } from './bench.ts';
import { CORES } from './cores.ts';
import { installContenders } from './install.ts';
import { makeInstances } from './instances.ts';
import { report, shortcomings } from './report.ts';
import { kilobytes, megabytes } from './scenarios/bodies.ts';
import { echo } from './scenarios/echo.ts';
import { fleet } from './scenarios/fleet.ts';
import { growth } from './scenarios/growth.ts';
import { latency } from './scenarios/latency.ts';
import { metrics } from './scenarios/metrics.ts';
import { profile } from './scenarios/profile.ts';
import { rate } from './scenarios/rate.ts';
import { replicas } from './scenarios/replicas.ts';
import { single } from './scenarios/single.ts';
import { uploads } from './scenarios/uploads.ts';
import { LARGE, startUpstreams } from './upstreams.ts';

const SCENARIOS: readonly Scenario[] = [
  fleet,
  single,
  latency,
  rate,
  kilobytes,
  megabytes,
  uploads,
  echo,
  growth,
  replicas,
  metrics,
  profile,
];
/** No round starts later than this after the start, ms. The last table follows within a minute. */
const BOUND = 12 * 60_000;
const INSTANCES = 200;

const { values } = readCommandLine({
  command: 'npm run bench --',
  summary: 'Compares the data path with other proxies. Exits with 1 if a target is missed.',
  options: {
    only: {
      kind: 'list',
      help: 'Run only these scenarios.',
      of: SCENARIOS.map(({ name }) => name),
    },
    quick: { kind: 'flag', help: 'One round of one second each.' },
    rounds: { kind: 'number', help: 'Rounds of each scenario; 5 by default.' },
    seconds: { kind: 'number', help: 'Seconds of each measurement; 2 by default.' },
  },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(130));
}

installContenders(say);
// Child processes without their own core, such as Redis, must not run on the core of the
// contenders.
execFileSync('taskset', ['-cp', String(CORES.load), String(process.pid)]);
const dir = mkdtempSync(join(tmpdir(), 'ephemera-bench-'));
process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
const redis = await startRedis();
const killRedis = () => process.kill(redis.pid, 'SIGKILL');
process.once('exit', killRedis);
const instances = makeInstances(INSTANCES, await freePort());
const largePorts: Record<string, number> = {};
for (const name of Object.keys(LARGE)) largePorts[name] = await freePort();
const found: Record<string, Outcome> = {};
const failed: Record<string, string> = {};
const skipped: string[] = [];
{
  await using _upstreams = await startUpstreams(dir, instances, largePorts);
  const bench: Bench = {
    dir,
    redisUrl: redis.url,
    instances,
    largePorts,
    rounds: values.rounds ?? (values.quick ? 1 : 5),
    seconds: values.seconds ?? (values.quick ? 1 : 2),
    until: performance.now() + BOUND,
    say,
  };
  for (const { name, title, run } of SCENARIOS) {
    if (values.only.length > 0 && !values.only.includes(name)) continue;
    if (performance.now() > bench.until) {
      skipped.push(name);
      continue;
    }
    say(`\n${name} …`);
    try {
      const outcome = await run(bench);
      found[name] = outcome;
      say(report(title, outcome));
    } catch (error) {
      failed[name] = String(error);
      say(`${name} FAILED: ${failed[name]}`);
    }
    write({ rounds: bench.rounds, seconds: bench.seconds });
  }
}
await redis.stop();
process.off('exit', killRedis);
const short = shortcomings({ found, failed, skipped });
say(short.length === 0 ? 'All targets were reached.' : short.join('\n'));
process.exit(short.length === 0 ? 0 : 1);

function write(settings: { rounds: number; seconds: number }): void {
  const results = join(import.meta.dirname, '../../../bench-results');
  mkdirSync(results, { recursive: true });
  const all = {
    at: new Date().toISOString(),
    node: process.version,
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg() },
    placement: CORES,
    ...settings,
    scenarios: found,
    failed,
    skipped,
  };
  writeFileSync(join(results, 'data-path.json'), `${JSON.stringify(all, null, 2)}\n`);
}
