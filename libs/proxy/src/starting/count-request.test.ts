import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { parseTemplates } from '@ephemera/config';
import type { Rates } from '@ephemera/store';
import { expect, test } from 'vitest';
import { countChange, countRequest } from './count-request.ts';

// Whose rate counts what, and what the client learns. libs/store counts in Redis.

const { quotas } = parseTemplates(`
limits: { ratePerToken: 5/1h, ratePerAddress: 3/1m, ratePerOwner: 2/10s, changesPerToken: 7/1m }
templates: { demo: { image: a, port: 80 } }
`);

function open(left: Awaited<ReturnType<Rates['take']>>) {
  const taken: unknown[] = [];
  const rates: Rates = {
    take(...input) {
      taken.push(input);
      return Promise.resolve(left);
    },
  };
  const res = new ServerResponse(new IncomingMessage(new Socket()));
  const headers = () => ({ ...res.getHeaders() });
  return { taken, rates, ctx: { res }, headers };
}
const ALLOWED = { allowed: true, remaining: 4, resetsIn: 30 };

test.each([
  ['token', { points: 5, seconds: 3_600 }],
  ['address', { points: 3, seconds: 60 }],
  ['owner', { points: 2, seconds: 10 }],
] as const)('a start counts against the rate of its %s', async (by, rate) => {
  const { taken, rates, ctx, headers } = open(ALLOWED);
  await countRequest(ctx, rates, quotas, by, 'me');
  expect(taken).toEqual([['me', rate]]);
  expect(headers()).toEqual({
    'ratelimit-policy': `"${by}";q=${rate.points};w=${rate.seconds}`,
    ratelimit: `"${by}";r=4;t=30`,
  });
});

test('a change counts against the changes of its token, apart from its starts', async () => {
  const { taken, rates, ctx, headers } = open(ALLOWED);
  await countChange(ctx, rates, quotas, 'token:ci');
  expect(taken).toEqual([['changes:token:ci', { points: 7, seconds: 60 }]]);
  expect(headers()['ratelimit-policy']).toBe('"token";q=7;w=60');
});

test('a request above its rate is refused, and told when to try again', async () => {
  const { rates, ctx, headers } = open({ allowed: false, remaining: 0, resetsIn: 9 });
  await expect(countRequest(ctx, rates, quotas, 'address', 'me')).rejects.toMatchObject({
    failure: { kind: 'rate_limited', by: 'address', resetsIn: 9 },
  });
  expect(headers()['ratelimit']).toBe('"address";r=0;t=9');
});

test('without a rate nothing is counted', async () => {
  const { taken, rates, ctx, headers } = open(ALLOWED);
  await countRequest(ctx, rates, { ...quotas, ratePerAddress: undefined }, 'address', 'me');
  expect([taken, headers()]).toEqual([[], {}]);
});
