/**
 * The program that `daemon-faults.ts` starts inside the namespaces: `node daemon-inside.ts FOLDER
 * OPTIONS`.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type OwnEngine, print, startOwnEngine } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import { registerCleanup, stopOnSignals } from '../open.ts';
import type { Options } from '../options.ts';
import { Report } from '../report.ts';
import type { DAEMON_FAULTS } from './daemon-faults.ts';
import { runUnderFault } from './run-under-fault.ts';
import { printExpectations } from './recover.ts';

const run = promisify(execFile);

/** Returns descriptions of what was wrong while the fault lasted. */
type Fault = (testbed: Testbed, engine: OwnEngine) => Promise<string[]>;

const FAULTS: Readonly<Record<(typeof DAEMON_FAULTS)[number], Fault>> = {
  restarted: (testbed, engine) => endDaemon(testbed, engine, 'SIGTERM', false),
  'restarted, with live-restore': (testbed, engine) => endDaemon(testbed, engine, 'SIGTERM', true),
  killed: (testbed, engine) => endDaemon(testbed, engine, 'SIGKILL', false),
  'killed, with live-restore': (testbed, engine) => endDaemon(testbed, engine, 'SIGKILL', true),
  'image gone': (testbed, engine) =>
    failStarts(testbed, /is not on this host, and pulling it failed/, {
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
    failStarts(testbed, /no space left on device/, {
      begin: () => sh(`cd ${engine.dataRoot}; dd if=/dev/zero of=filler bs=4k 2>&1 || true`),
      end: () => sh(`rm ${engine.dataRoot}/filler`),
    }),
};

const IMAGE = 'ephemera/demo';
/** A second tag keeps the layers of the image for the running containers. */
const KEPT = 'ephemera/kept';
/** Size of the disk of the daemon: enough for some containers, and quickly filled. */
const DISK = '96M';
/** How long starts fail, ms. */
const EXPECTED_FAILURES = 15_000;

const sh = (script: string) => run('sh', ['-c', script]);

/** Ends the daemon and starts it again. Its containers end with it unless live-restore is on. */
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
  print(`${outlived} of ${before.length} containers survived`);
  if (liveRestore) return outlived > 0 ? [] : ['no container survived although live-restore is on'];
  // Includes instances that were starting.
  for (const id of expectations.promised.keys()) expectations.damaged.add(id);
  return outlived === 0 ? [] : ['containers survived although live-restore is off'];
}

async function running(daemon: Testbed['daemon']): Promise<string[]> {
  const containers = await daemon.containers();
  return containers.filter(({ State }) => State === 'running').map(({ Id }) => Id);
}

/** Makes starts fail for some time. At least one failed start must have a matching message. */
async function failStarts(
  testbed: Testbed,
  words: RegExp,
  fault: { begin(): Promise<unknown>; end(): Promise<unknown> },
): Promise<string[]> {
  const endFailures = testbed.expectations.expectFailures(words);
  await fault.begin();
  await sleep(EXPECTED_FAILURES);
  await fault.end();
  const { instances } = await testbed.readSnapshot();
  const reported = [...instances.values()].flatMap(({ message = '' }) =>
    words.test(message) ? [message] : [],
  );
  endFailures();
  print(`${reported.length} starts failed: ${reported[0] ?? ''}`);
  return reported.length > 0 ? [] : ['no start failed'];
}

async function daemonFaults(folder: string, { seed, steps: only }: Options): Promise<boolean> {
  const data = join(folder, 'data');
  await mkdir(data);
  await sh(`cd ${folder} && truncate -s ${DISK} disk && mkfs.ext4 -q -m 0 disk && mount disk data`);
  const engine = await startOwnEngine({ folder, images: [IMAGE] });
  const stopEngine = registerCleanup(() => engine.stop());
  const report = new Report();
  try {
    const testbed = await startTestbed({ seed, socketPath: engine.socketPath });
    try {
      for (const [name, fault] of Object.entries(FAULTS)) {
        if (only.length > 0 && !only.includes(name)) continue;
        await runUnderFault(testbed, report, name, () => fault(testbed, engine));
      }
    } catch (error) {
      // Logged before the cleanup, which may throw another error if the daemon did not come back.
      print(`the scenario was interrupted: ${String(error)}`);
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
