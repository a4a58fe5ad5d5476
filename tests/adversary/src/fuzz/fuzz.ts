import { descriptors, waitFor } from '@ephemera/test-support';
import { startTestbed } from '../testbed.ts';
import { type Finding, Findings } from './finding.ts';
import { ResponseRunner } from './fuzz-answers.ts';
import { RequestRunner } from './fuzz-requests.ts';
import { type Barrier, startBarrier } from './barrier.ts';

export interface FuzzOptions {
  readonly side: 'client' | 'container';
  readonly cases: number;
  readonly seed: number;
  /** The number of the first case. */
  readonly from?: number;
  readonly onProgress?: (line: string) => void;
}

export interface FuzzResult {
  readonly side: string;
  readonly seed: number;
  readonly cases: number;
  readonly findings: readonly Finding[];
  readonly findingsInAll: number;
  readonly requestsArrived: number;
  readonly answers: Readonly<Record<string, number>>;
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
  readonly seconds: number;
}

const CONCURRENCY = 160;
/** Log lines of unexpected errors. */
const UNFORESEEN = /uncaught|unhandled|TypeError|RangeError|"level":60/i;

/** Sends mutated bytes through a real proxy from one side, and checks what arrives on the other. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { side, seed, cases, from = 0 } = options;
  const started = performance.now();
  const testbed = await startTestbed();
  const findings = new Findings();
  const answers: Record<string, number> = {};
  const Runner = side === 'client' ? RequestRunner : ResponseRunner;
  const runners = Array.from(
    { length: Math.min(CONCURRENCY, cases) },
    () => new Runner(findings, answers),
  );
  const barrier = await startBarrier(testbed);
  try {
    const replica = await testbed.replica({ env: { EPHEMERA_RESPONSE_TIMEOUT: '3s' } });
    const { publicPort } = replica;
    await barrier.pass(publicPort);
    for (const runner of runners) await runner.start(testbed);
    const before = descriptors(replica.pid);
    const end = from + cases;
    let next = from;
    let done = 0;
    let reported = performance.now();
    const isOver = () => next >= end || replica.ended() !== undefined;
    const reportProgress = (more: number) => {
      done += more;
      if (performance.now() - reported < 10_000) return;
      reported = performance.now();
      options.onProgress?.(`${side}: ${done} cases, ${findings.total} findings`);
    };
    const requests = runners.filter((runner) => runner instanceof RequestRunner);
    while (requests.length > 0 && !isOver()) {
      const batch = requests.slice(0, end - next);
      await runBatch(batch, barrier, { port: publicPort, seed, from: next });
      next += batch.length;
      reportProgress(batch.length);
    }
    const work = async (runner: RequestRunner | ResponseRunner) => {
      while (runner instanceof ResponseRunner && !isOver()) {
        await runner.run(publicPort, seed, next++);
        reportProgress(1);
      }
    };
    await Promise.all(runners.map(work));
    if (replica.ended() !== undefined) {
      findings.add({ what: `the proxy ended: ${replica.log()}`, case: next, bytes: '' });
    }
    const unforeseen = UNFORESEEN.exec(replica.log());
    if (unforeseen) {
      const near = replica.log().slice(Math.max(0, unforeseen.index - 300), unforeseen.index + 700);
      findings.add({ what: `the log contains an error: ${near}`, case: -1, bytes: '' });
    }
    for (const runner of runners) runner.stop();
    const after = () => descriptors(replica.pid);
    await waitFor('the descriptors to be closed', () => after() <= before, 30_000).catch(() => {
      findings.add({ what: `${after() - before} descriptors are left`, case: -1, bytes: '' });
    });
    return {
      side,
      seed,
      cases: done,
      findings: findings.kept,
      findingsInAll: findings.total,
      requestsArrived: runners.reduce((sum, runner) => sum + runner.requestsArrived, 0),
      answers,
      descriptorsBefore: before,
      descriptorsAfter: after(),
      seconds: Math.round((performance.now() - started) / 1000),
    };
  } finally {
    for (const runner of runners) runner.stop();
    barrier.stop();
    await testbed.stop();
  }
}

/**
 * Runs one case on each runner at the same time. Afterwards the proxy has processed all of them.
 */
async function runBatch(
  runners: readonly RequestRunner[],
  barrier: Barrier,
  { port, seed, from }: { port: number; seed: number; from: number },
): Promise<void> {
  await Promise.all(runners.map((runner, index) => runner.startCase(port, seed, from + index)));
  await barrier.pass(port);
  for (const runner of runners) runner.sendRest();
  await Promise.all(runners.map((runner) => runner.answered()));
  await barrier.pass(port);
  for (const runner of runners) runner.end();
}
