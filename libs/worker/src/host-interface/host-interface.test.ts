import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { signHostRequest } from '@ephemera/lifecycle';
import type { HostClaims, HostSigner } from '@ephemera/lifecycle';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeCertificate } from './certificate.ts';
import { createHostInterface } from './host-interface.ts';
import type { HostOperation } from './host-interface.ts';

// Which requests the worker executes, and what refused ones learn. libs/embed/test/host-connection.test.ts
// has the proxy's side.

const signerOf = (key: string): HostSigner => ({
  hasKeys: true,
  sign: (purpose, input) => createHmac('sha256', key).update(`${purpose} ${input}`).digest('hex'),
  hasSigned(purpose, input, signature) {
    return this.sign(purpose, input) === signature;
  },
});
const signer = signerOf('a key');
const certificate = makeCertificate();
const CLAIMS: HostClaims = {
  ...{ worker: certificate.fingerprint, id: 'a1', generation: 7, operation: 'echo' },
};

let now = 1_000_000;
let generation: number | undefined | Error = 7;
const executed: string[] = [];
const errors: unknown[] = [];
/** Their operations. */
const failed: string[] = [];
let port = 0;
let close: () => Promise<void>;

beforeEach(async () => {
  [now, generation] = [1_000_000, 7];
  executed.length = 0;
  errors.length = 0;
  failed.length = 0;
  const hosting = createHostInterface({
    ...{ signer, certificate, now: () => now },
    generationOf: () =>
      generation instanceof Error ? Promise.reject(generation) : Promise.resolve(generation),
    operations: new Map<string, HostOperation>([
      [
        'echo',
        {
          answer({ id, generation: of, query }, _req, res) {
            executed.push(`${id} ${of} ${query.get('a') ?? ''}`);
            res.end('done');
            return Promise.resolve();
          },
          stream({ id }, socket) {
            executed.push(`stream ${id}`);
            socket.write('streamed');
            return Promise.resolve();
          },
        },
      ],
      ['answers', { answer: (_call, _req, res) => Promise.resolve(void res.end('answered')) }],
      ['broken', { answer: () => Promise.reject(new Error('a secret detail')) }],
      [
        'torn',
        {
          answer(_call, _req, res) {
            res.write('begun');
            return Promise.reject(new Error('a secret detail'));
          },
        },
      ],
    ]),
    onError(error, call) {
      errors.push(error);
      failed.push(call.operation);
    },
  });
  close = hosting.close;
  hosting.server.listen(0, '127.0.0.1');
  await once(hosting.server, 'listening');
  ({ port } = hosting.server.address() as AddressInfo);
});
afterEach(() => close());

interface Answer {
  readonly status: number | undefined;
  readonly failure: string | undefined;
  readonly body: string;
}

function send(
  path: string,
  authorization: string | undefined,
  { upgrade }: { readonly upgrade?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request(`https://127.0.0.1:${port}${path}`, {
      method: upgrade === undefined ? 'POST' : 'GET',
      rejectUnauthorized: false,
      agent: false,
      headers: {
        ...(authorization !== undefined && { authorization }),
        ...(upgrade !== undefined && { connection: 'upgrade', upgrade }),
      },
    });
    req.on('error', reject);
    req.on('response', (res) => {
      const { statusCode: status, headers } = res;
      const failure = headers['ephemera-host-failure'] as string | undefined;
      text(res).then((body) => resolve({ status, failure, body }), reject);
    });
    req.on('upgrade', ({ statusCode: status }, socket) => {
      text(socket).then((body) => resolve({ status, failure: undefined, body }), reject);
    });
    req.end();
  });
}
const credentials = (claims: Partial<HostClaims> = {}, by = signer) =>
  `Ephemera ${signHostRequest(by, { ...CLAIMS, ...claims }, now)}`;

test('a request with credentials is executed for their instance', async () => {
  expect(await send('/echo?a=b', credentials())).toMatchObject({ status: 200, body: 'done' });
  const stream = await send('/echo', credentials(), { upgrade: 'ephemera-stream' });
  expect(stream).toMatchObject({ status: 101, body: 'streamed' });
  expect(executed).toEqual(['a1 7 b', 'stream a1']);
});

const refusal = (status: number, failure: string, body: string) => ({ status, failure, body });

test.each<[string, string | undefined, Answer]>([
  ['none', undefined, refusal(401, 'refused', 'missing')],
  [
    'another scheme',
    credentials().replace('Ephemera', 'Bearer'),
    refusal(401, 'refused', 'missing'),
  ],
  ['two', `${credentials()} x`, refusal(401, 'refused', 'missing')],
  ['a prefix', `x${credentials()}`, refusal(401, 'refused', 'missing')],
  ['a foreign key', credentials({}, signerOf('x')), refusal(401, 'refused', 'invalid')],
  ['another worker', credentials({ worker: 'x' }), refusal(401, 'refused', 'other_worker')],
  [
    'another operation',
    credentials({ operation: 'x' }),
    refusal(401, 'refused', 'other_operation'),
  ],
])('without valid credentials nothing is executed: %s', async (_, authorization, expected) => {
  expect(await send('/echo', authorization)).toEqual(expected);
  const upgrade = { upgrade: 'ephemera-stream' };
  expect(await send('/echo', authorization, upgrade)).toEqual(expected);
  expect(executed).toEqual([]);
  expect(errors).toEqual([]);
});

test('credentials that have expired are refused', async () => {
  const authorization = credentials();
  now += 10_001;
  expect(await send('/echo', authorization)).toEqual(refusal(401, 'refused', 'expired'));
  expect(executed).toEqual([]);
});

test('an instance with another generation, without one, or that cannot be read is not touched', async () => {
  for (const other of [8, undefined]) {
    generation = other;
    expect(await send('/echo', credentials())).toEqual(
      refusal(410, 'gone', 'the instance has another generation, or none'),
    );
  }
  const away = new Error('Redis is away');
  generation = away;
  // Without the cause, which is for the log.
  expect(await send('/echo', credentials())).toEqual(
    refusal(503, 'unreachable', 'the worker cannot read the instance'),
  );
  expect([errors, failed]).toEqual([[away], ['echo']]);
  expect(executed).toEqual([]);
});

test('a target that is no URL is refused', async () => {
  expect(await send('//[', credentials())).toEqual(
    refusal(400, 'refused', 'the request target is no valid URL'),
  );
  expect([executed, errors]).toEqual([[], []]);
});

test('an unknown operation, and a stream of one that has none or in another protocol, are refused', async () => {
  const expected = refusal(404, 'refused', 'this worker has no such operation');
  expect(await send('/other', credentials({ operation: 'other' }))).toEqual(expected);
  const answers = credentials({ operation: 'answers' });
  expect(await send('/answers', answers, { upgrade: 'ephemera-stream' })).toEqual(expected);
  expect(await send('/echo', credentials(), { upgrade: 'websocket' })).toEqual(expected);
  expect(executed).toEqual([]);
});

test('an operation that fails tells the proxy nothing, and ends a response that has begun', async () => {
  const broken = await send('/broken', credentials({ operation: 'broken' }));
  expect(broken).toEqual({ status: 500, failure: undefined, body: '' });
  await expect(send('/torn', credentials({ operation: 'torn' }))).rejects.toThrow();
  expect(errors).toHaveLength(2);
});
