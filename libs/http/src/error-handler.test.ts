import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { problemOf } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import { createLogger } from '@ephemera/process';
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { errorHandler, prefersHtml } from './error-handler.ts';

async function answerTo(thrown: Error): Promise<{ status: number; detail: string; log: string }> {
  let log = '';
  const app = new Koa();
  app.use(
    errorHandler({
      logger: createLogger('test', 'info', { write: (line) => void (log += line) }),
      isRedisUnavailable: (error) => (error as Error).message === 'no redis',
      respond: (ctx, failure) => {
        const { problem } = problemOf(failure);
        ctx.status = problem.status;
        ctx.body = problem;
      },
    }),
  );
  app.use(() => {
    throw thrown;
  });
  const handle = app.callback();
  const server = createServer((req, res) => void handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const { detail } = (await answer.json()) as { detail: string };
  return { status: answer.status, detail, log };
}

test('an unexpected error is logged, and its message does not leave the process', async () => {
  const { status, detail, log } = await answerTo(new Error('the secret is x'));
  expect(status).toBe(500);
  expect(detail).not.toContain('secret');
  expect(log).toContain('the secret is x');
});

test('only a message that is marked safe is exposed', async () => {
  const hidden = Object.assign(new Error('hidden text'), { status: 400, expose: false });
  expect((await answerTo(hidden)).detail).not.toContain('hidden');
  const safe = Object.assign(new Error('bad escape'), { status: 400, expose: true });
  expect(await answerTo(safe)).toMatchObject({ status: 400, detail: 'bad escape', log: '' });
});

test('a failure and an unavailable Redis have their own status', async () => {
  const failure = new ApiError({ kind: 'not_found', what: 'such page' });
  expect((await answerTo(failure)).status).toBe(404);
  expect((await answerTo(new Error('no redis'))).status).toBe(503);
});

test.each([
  [undefined, false],
  ['*/*', false],
  ['text/html,application/xhtml+xml,*/*;q=0.8', true],
  ['application/json, text/html', false],
  ['text/html, application/problem+json', true],
])('Accept %s prefers HTML: %s', (accept, expected) => {
  expect(prefersHtml(accept)).toBe(expected);
});
