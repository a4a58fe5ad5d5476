import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { RELEASE_TIMEOUT_MS } from '@ephemera/process';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { createReporter } from '../terminal/reporter.ts';
import { SupervisedProcess, stopTimeoutMs } from './supervised-process.ts';

const never = new AbortController().signal;

/** A child that writes its pid to a file and then runs `script`. */
function supervise(script: string, isReady?: () => boolean) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-supervised-'));
  const pidFile = join(folder, 'pid');
  const shown: string[] = [];
  const readPid = () => {
    try {
      return Number(readFileSync(pidFile, 'utf8')) || undefined;
    } catch {
      return undefined;
    }
  };
  const child = new SupervisedProcess(
    {
      name: 'child',
      command: ['/bin/sh', '-c', `echo $$ > "$PID_FILE"; ${script}`],
      environment: { PID_FILE: pidFile, PATH: process.env['PATH'] },
      logFile: join(folder, 'child.log'),
      isReady: () => Promise.resolve(isReady?.() ?? readPid() !== undefined),
    },
    createReporter({ write: (text) => shown.push(text) }),
  );
  onTestFinished(async () => {
    await child.stop();
    rmSync(folder, { recursive: true });
  });
  return { child, shown, readPid, forgetPid: () => writeFileSync(pidFile, '') };
}

test('a process that dies after it was ready is restarted, with a warning', async () => {
  const { child, shown, readPid, forgetPid } = supervise('exec sleep 600');
  await child.ready(never);
  const first = readPid() ?? 0;
  forgetPid();
  process.kill(first, 'SIGKILL');
  const second = await waitFor('a second process', readPid);
  expect(second).not.toBe(first);
  expect(shown.join('')).toContain('the child ended with SIGKILL; it starts again in 0.5 s');
});

test('a failed start is reported with the end of its log', async () => {
  const { child } = supervise('echo "the disk is on fire"; exit 3', () => false);
  await expect(child.ready(never)).rejects.toThrow(
    /The child ended with code 3\. The end of .*child\.log:\n {4}the disk is on fire/,
  );
});

test('an aborted start ends at once', async () => {
  const { child } = supervise('exec sleep 600', () => false);
  await expect(child.ready(AbortSignal.timeout(50))).rejects.toThrow('timeout');
});

test('warnings in its log are shown on the terminal', async () => {
  const { child, shown } = supervise(`echo '{"level":"warn","msg":"low on air"}'; exec sleep 600`);
  await child.ready(never);
  await waitFor('the warning', () => shown.join('').includes('child: low on air'));
});

test('a stopped process is not restarted', async () => {
  const { child, readPid } = supervise('exec sleep 600');
  await child.ready(never);
  const pid = readPid() ?? 0;
  await child.stop();
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('a process is killed only after its shutdown had time for a release that hangs', () => {
  expect(stopTimeoutMs).toBeGreaterThan(RELEASE_TIMEOUT_MS);
});
