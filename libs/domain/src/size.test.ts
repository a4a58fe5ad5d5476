import { expect, test } from 'vitest';
import { parseSize } from './size.ts';

test.each([
  ['512b', 512],
  ['64k', 65_536],
  ['256m', 268_435_456],
  ['1.5g', 1_610_612_736],
  ['1G', 1_073_741_824],
  ['2t', 2_199_023_255_552],
])('%s is %i bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['', '256', 'm', '-1m', '1 m', '1mb', '1e3m', `${2 ** 60}t`])(
  '"%s" is no size',
  (text) => {
    expect(parseSize(text)).toBeUndefined();
  },
);
