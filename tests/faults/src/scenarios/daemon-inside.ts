/** What `daemon-faults.ts` starts on a machine of its own: `node daemon-inside.ts FOLDER OPTIONS`. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type OwnEngine, print, startOwnEngine } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import { closing, stopOnSignals } from '../open.ts';
import type { Options } from '../options.ts';
import { Report } from '../report.ts';
import type { DAEMON_FAULTS } from './daemon-faults.ts';
import { runUnderFault } from './run-under-fault.ts';
import { printExpectations } from './recover.ts';

const run = promisify(execFile);

/** Gives what did not hold while the fault lasted, in words. */
type Fault = (testbed: Testbed, engine: OwnEngine) => Promise<string[]>;

const FAULTS: Readonly<Record<(typeof DAEMON_FAULTS)[number], Fault>> = {
  restarted: (testbed, engine) => endDaemon(testbed, engine, 'SIGTERM', false),
  'restarted, with live-restore': (testbed, engine) => endDaemon(testbed, engine, 'SIGTERM', true),
  killed: (testbed, engine) => endDaemon(testbed, engine, 'SIGKILL', false),
  'killed, with live-restore': (testbed, engine) => endDaemon(testbed, engine, 'SIGKILL', true),
  'image gone': (testbed, engine) =>
    spoilStarts(testbed, /is not on this host, and pulling it failed/, {
      async begin() {
        await engine.docker('tag', IMAGE, KEPT);
        await engine.docker('rmi', IMAGE);
      },
      async end() {
        await engine.docker('tag', KEPT, IMAGE);
        await engine.docker('rmi', KEPT);
      },
    }),
  'disk full': (testbed, engine) =>
    spoilStarts(testbed, /no space left on device/, {
      begin: () => sh(`cd ${engine.dataRoot}; dd if=/dev/zero of=filler bs=4k 2>&1 || true`),
      end: () => sh(`rm ${engine.dataRoot}/filler`),
    }),
};

const IMAGE = 'ephemera/demo';
/** Another name, so that the containers that run keep what they are made of. */
const KEPT = 'ephemera/kept';
/** What the daemon may write: room for some containers, and soon filled. */
const DISK = '96M';
/** How long starts are spoilt, ms. */
const EXPECTED_FAILURES = 15_000;

const sh = (script: string) => run('sh', ['-c', script]);

/** Ends the daemon and starts it again: its containers die with it unless they are to outlive it. */
async function endDaemon(
  { expectations, daemon }: Testbed,
  engine: OwnEngine,
  signal: 'SIGTERM' | 'SIGKILL',
  liveRestore: boolean,
): Promise<string[]> {
  await engine.setLiveRestore(liveRestore);
  const before = await running(daemon);
  await engine.restart(signal);
  const after = new Set(await running(daemon));
  const outlived = before.filter((id) => after.has(id)).length;
  print(`${outlived} of ${before.length} containers have outlived it`);
  if (liveRestore) return outlived > 0 ? [] : ['no container has outlived a daemon that lets them'];
  // Those that were just being started, too.
  for (const id of expectations.promised.keys()) expectations.damaged.add(id);
  return outlived === 0 ? [] : ['containers have outlived a daemon that does not let them'];
}

async function running(daemon: Testbed['daemon']): Promise<string[]> {
  const containers = await daemon.containers();
  return containers.filter(({ State }) => State === 'running').map(({ Id }) => Id);
}

/** Has starts fail for a while: each must tell why, in these words. */
async function spoilStarts(
  testbed: Testbed,
  words: RegExp,
  fault: { begin(): Promise<unknown>; end(): Promise<unknown> },
): Promise<string[]> {
  const over = testbed.expectations.expectFailures(words);
  await fault.begin();
  await sleep(EXPECTED_FAILURES);
  await fault.end();
  const { instances } = await testbed.look();
  const reported = [...instances.values()].flatMap(({ message = '' }) =>
    words.test(message) ? [message] : [],
  );
  over();
  print(`${reported.length} starts have failed: ${reported[0] ?? ''}`);
  return reported.length > 0 ? [] : ['no start has failed'];
}

async function daemonFaults(folder: string, { seed, steps: only }: Options): Promise<boolean> {
  const data = join(folder, 'data');
  await mkdir(data);
  await sh(`cd ${folder} && truncate -s ${DISK} disk && mkfs.ext4 -q -m 0 disk && mount disk data`);
  const engine = await startOwnEngine({ folder, images: [IMAGE] });
  const stopEngine = closing(() => engine.stop());
  const report = new Report();
  try {
    const testbed = await startTestbed({ seed, socketPath: engine.socketPath });
    try {
      for (const [name, fault] of Object.entries(FAULTS)) {
        if (only.length > 0 && !only.includes(name)) continue;
        await runUnderFault(testbed, report, name, () => fault(testbed, engine));
      }
    } catch (error) {
      // Ahead of what taking everything away may say, with a daemon that did not come back.
      print(`the scenario was broken off: ${String(error)}`);
      throw error;
    } finally {
      printExpectations(testbed);
      await testbed.stop();
    }
  } finally {
    await stopEngine();
  }
  report.print();
  return report.holds;
}

stopOnSignals();
const [folder = '', options = ''] = process.argv.slice(2);
const held = await daemonFaults(folder, JSON.parse(options) as Options);
process.exit(held ? 0 : 1);
