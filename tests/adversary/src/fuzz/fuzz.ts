import { descriptors, waitFor } from '@ephemera/test-support';
import { startTestbed } from '../testbed.ts';
import { type Finding, Findings } from './finding.ts';
import { AnswerLane } from './fuzz-answers.ts';
import { RequestLane } from './fuzz-requests.ts';
import { type Pulse, startPulse } from './pulse.ts';

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

const LANES = 160;
/** Log lines that tell of what nobody foresaw. */
const UNFORESEEN = /uncaught|unhandled|TypeError|RangeError|"level":60/i;

/** Sends mutated bytes through a real proxy from one side, and judges what comes out on the other. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { side, seed, cases, from = 0 } = options;
  const started = performance.now();
  const testbed = await startTestbed();
  const findings = new Findings();
  const answers: Record<string, number> = {};
  const Lane = side === 'client' ? RequestLane : AnswerLane;
  const lanes = Array.from({ length: Math.min(LANES, cases) }, () => new Lane(findings, answers));
  const pulse = await startPulse(testbed);
  try {
    const replica = await testbed.replica({ env: { EPHEMERA_RESPONSE_TIMEOUT: '3s' } });
    const { publicPort } = replica;
    await pulse.beat(publicPort);
    for (const lane of lanes) await lane.start(testbed);
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
    const requests = lanes.filter((lane) => lane instanceof RequestLane);
    while (requests.length > 0 && !isOver()) {
      const batch = requests.slice(0, end - next);
      await runBatch(batch, pulse, { port: publicPort, seed, from: next });
      next += batch.length;
      reportProgress(batch.length);
    }
    const work = async (lane: RequestLane | AnswerLane) => {
      while (lane instanceof AnswerLane && !isOver()) {
        await lane.run(publicPort, seed, next++);
        reportProgress(1);
      }
    };
    await Promise.all(lanes.map(work));
    if (replica.ended() !== undefined) {
      findings.add({ what: `the proxy ended: ${replica.log()}`, case: next, bytes: '' });
    }
    const unforeseen = UNFORESEEN.exec(replica.log());
    if (unforeseen) {
      const near = replica.log().slice(Math.max(0, unforeseen.index - 300), unforeseen.index + 700);
      findings.add({ what: `the log tells of a fault: ${near}`, case: -1, bytes: '' });
    }
    for (const lane of lanes) lane.stop();
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
      requestsArrived: lanes.reduce((sum, lane) => sum + lane.requestsArrived, 0),
      answers,
      descriptorsBefore: before,
      descriptorsAfter: after(),
      seconds: Math.round((performance.now() - started) / 1000),
    };
  } finally {
    for (const lane of lanes) lane.stop();
    pulse.stop();
    await testbed.stop();
  }
}

/** Runs one case on each lane at once: nothing of it is left in the proxy's hands afterwards. */
async function runBatch(
  lanes: readonly RequestLane[],
  pulse: Pulse,
  { port, seed, from }: { port: number; seed: number; from: number },
): Promise<void> {
  await Promise.all(lanes.map((lane, index) => lane.begin(port, seed, from + index)));
  await pulse.beat(port);
  for (const lane of lanes) lane.sendRest();
  await Promise.all(lanes.map((lane) => lane.answered()));
  await pulse.beat(port);
  for (const lane of lanes) lane.end();
}
