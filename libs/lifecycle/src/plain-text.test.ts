import { expect, test } from 'vitest';
import { plainText } from './exit-report.ts';

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
