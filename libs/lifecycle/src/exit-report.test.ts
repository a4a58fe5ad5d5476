import { expect, test } from 'vitest';
import { sampleTemplate } from '@ephemera/test-support';
import { lastLines, plainText, reportExit } from './exit-report.ts';

test.each([
  ['one\r\ntwo\tthree\n', 'one\ntwo\tthree\n'],
  ['naïve — 漢字 🙂', 'naïve — 漢字 🙂'],
  ['\u001b]0;title\u0007\u001b[31mred', '\ufffd]0;title\ufffd\ufffd[31mred'],
  ['\u009b2J', '\ufffd2J'],
  ['over\rwritten', 'over\ufffdwritten'],
  ['a\u202eb\u2066c', 'a\ufffdb\ufffdc'],
  ['\0', '\ufffd'],
])('%j is shown as %j', (text, shown) => {
  expect(plainText(text)).toBe(shown);
});

test.each([
  ['a line of a megabyte', `EPERM ${'tcsetattr'.repeat(170_000)}`],
  ['a path of slashes', `EROFS: read-only file system, open '/${'/'.repeat(1_500_000)}a/b'`],
])('%s does not occupy the worker', async (_, log) => {
  const containers = { lastLines: () => Promise.resolve(log) };
  const exit = { exitCode: 1, oomKilled: false };
  const started = process.cpuUsage();
  const { message } = await reportExit(containers, 'c', exit, sampleTemplate());
  expect(process.cpuUsage(started).user).toBeLessThan(1_000_000);
  expect(message).toContain('The container exited with code 1.');
});

test.each([
  ['the last ten lines', `0\n${'1\n'.repeat(10)}\n`, '1\n'.repeat(10).trimEnd()],
  ['at most 2,000 characters', `${'a'.repeat(3_000)}b`, `${'a'.repeat(1_999)}b`],
  ['no half of a character', `${'🙂'.repeat(1_500)}b`, `\ufffd${'🙂'.repeat(999)}b`],
  ['no escape sequence', 'a\u001b[2Jb\r\nc', 'a\ufffd[2Jb\nc'],
  ['nothing of an empty log', '\n', ''],
])('a failure shows %s', (_, log, shown) => {
  expect(lastLines(log)).toBe(shown);
});

test('an exit is reported without its log if that cannot be read', async () => {
  const containers = { lastLines: () => Promise.reject(new Error('500')) };
  const exit = { exitCode: 3, oomKilled: false };
  expect(await reportExit(containers, 'c', exit, sampleTemplate())).toMatchObject({
    message: 'The container exited with code 3.',
  });
});
