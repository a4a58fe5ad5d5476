import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

import { runCommand } from './run-command.ts';

test('a command reads its input, and a failure includes its output', async () => {
  const lines: string[] = [];
  const onLine = (line: string) => void lines.push(line);
  await runCommand('cat', [], { input: 'one\ntwo\n', onLine });
  expect(lines).toEqual(['one', 'two']);
  await expect(runCommand('sh', ['-c', 'echo why; exit 3'])).rejects.toThrow(
    /ended with code 3\n +why/,
  );
});

test('a stopped command ends, and the reason of the stop is thrown', async () => {
  const controller = new AbortController();
  const reason = new Error('stopped by the user');
  let pid = 0;
  const onLine = (line: string) => {
    pid = Number(line);
    controller.abort(reason);
  };
  const ran = runCommand('sh', ['-c', 'echo $$; exec sleep 60'], {
    stop: controller.signal,
    onLine,
  });
  await expect(ran).rejects.toBe(reason);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  await expect(runCommand('true', [], { stop: controller.signal })).rejects.toBe(reason);
});

// A signal that a terminal sends to its foreground group must not end the clean-up.
test('a command runs in its own process group', async () => {
  let group = '';
  const onLine = (line: string) => void (group = line.trim());
  await runCommand('sh', ['-c', 'ps -o pgid= -p $$'], { onLine });
  const own = execFileSync('ps', ['-o', 'pgid=', '-p', String(process.pid)], { encoding: 'utf8' });
  expect(group).not.toBe(own.trim());
});
