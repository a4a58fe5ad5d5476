import { expect, test } from 'vitest';
import { createLogger } from './logger.ts';

function recording() {
  const lines: Record<string, unknown>[] = [];
  const out = { write: (line: string) => void lines.push(JSON.parse(line) as never) };
  return { lines, logger: createLogger('worker', 'info', out) };
}

test('a line is JSON with the app, an ISO time and the fields', () => {
  const { lines, logger } = recording();
  logger.child({ id: 'abc' }).warn({ took: 3 }, 'spawn begins');
  logger.debug('not at this level');
  expect(lines).toEqual([
    {
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as unknown,
      app: 'worker',
      pid: process.pid,
      id: 'abc',
      took: 3,
      msg: 'spawn begins',
    },
  ]);
});

test('secrets are hidden', () => {
  const { lines, logger } = recording();
  const secret = 'hunter2';
  logger.info({ token: secret, config: { token: secret }, env: { A: secret } }, 'one');
  logger.info({ instance: { env: { A: secret } } }, 'two');
  logger.info({ headers: { authorization: secret, cookie: secret, accept: '*/*' } }, 'three');
  expect(JSON.stringify(lines)).not.toContain(secret);
  expect(lines).toHaveLength(3);
});
