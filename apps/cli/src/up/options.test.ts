import { expect, test } from 'vitest';

import { readUpOptions } from './options.ts';

test('without options: two proxies, one worker, and nothing is kept', () => {
  expect(readUpOptions([])).toEqual({ keep: false, proxies: 2, workers: 1 });
  expect(readUpOptions(['--keep', '--proxies', '3', '--workers=2'])).toEqual({
    keep: true,
    proxies: 3,
    workers: 2,
  });
});

test.each([
  [['--proxies', '0'], '--proxies is "0"'],
  [['--workers', 'many'], '--workers is "many"'],
  [['--workres', '2'], "Unknown option '--workres'"],
])('%j is refused in a line', (args, complaint) => {
  expect(() => readUpOptions(args)).toThrow(complaint);
});
