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
  for (const name of ['token', 'password', 'secret', 'env']) {
    for (const value of [secret, { A: secret }, [secret]]) {
      logger.info({ [name]: value }, 'at the top');
      logger.info({ config: { [name]: value } }, 'in an object');
    }
  }
  for (const name of ['authorization', 'cookie', 'set-cookie']) {
    for (const value of [secret, [secret, secret]]) {
      logger.info({ headers: { [name]: value, accept: '*/*' } }, 'a header');
    }
  }
  expect(lines).toHaveLength(4 * 6 + 6);
  for (const line of lines) {
    expect(JSON.stringify(line)).not.toContain(secret);
    expect(JSON.stringify(line)).toContain('[hidden]');
  }
  expect(lines.at(-1)).toMatchObject({ headers: { accept: '*/*' } });
});
