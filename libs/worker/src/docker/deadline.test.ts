import { expect, test } from 'vitest';
import { DaemonTimeout, statusOf, ignoreStatus, withDeadline, daemonMessage } from './deadline.ts';

const never = new Promise<string>(() => undefined);

// A daemon that dies in the middle of an answer leaves its client's promise open for ever.
test('a call that is never answered is given up', async () => {
  const input = withDeadline('inspect', 20, never);
  await expect(input).rejects.toThrow(DaemonTimeout);
  await expect(input).rejects.toThrow('inspect took over 20 ms');
});

test('an answer in time is the answer, and so is a refusal', async () => {
  expect(await withDeadline('inspect', 1_000, Promise.resolve('seen'))).toBe('seen');
  const refused = withDeadline('inspect', 1_000, Promise.reject(new Error('no')));
  await expect(refused).rejects.toThrow('no');
});

/** An error as the client of the daemon throws it. */
const refusal = (statusCode: number, message: string) =>
  Object.assign(new Error(`(HTTP code ${statusCode}) ${message}`), {
    statusCode,
    json: { message },
  });

test('absent already and done already are successes without a value', async () => {
  const gone = ignoreStatus([304, 404], Promise.reject<string>(refusal(404, 'gone')));
  expect(await gone).toBeUndefined();
  const other = ignoreStatus([304, 404], Promise.reject(refusal(500, 'broken')));
  await expect(other).rejects.toMatchObject({ statusCode: 500 });
  const unreachable = ignoreStatus([404], Promise.reject(new Error('ECONNREFUSED')));
  await expect(unreachable).rejects.toThrow('ECONNREFUSED');
});

test("the daemon's words are told without the client's", () => {
  expect(daemonMessage(refusal(404, 'No such image'))).toBe('No such image');
  expect(daemonMessage(new Error('connect ENOENT'))).toBe('connect ENOENT');
  expect(daemonMessage('text')).toBe('text');
  expect(statusOf(null)).toBeUndefined();
  expect(statusOf(refusal(409, 'taken'))).toBe(409);
});
