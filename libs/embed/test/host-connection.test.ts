import { once } from 'node:events';
import { request } from 'node:https';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSigningKeys } from '@ephemera/config';
import { CLOCK_TOLERANCE_MS, CREDENTIALS_VALIDITY_MS } from '@ephemera/lifecycle';
import { signHostAddress, signHostRequest } from '@ephemera/lifecycle';
import type { HostClaims, SignedHostAddress } from '@ephemera/lifecycle';
import { createHostConnections } from '@ephemera/proxy';
import { waitFor } from '@ephemera/test-support';
import { createHostInterface, makeCertificate } from '@ephemera/worker';
import type { HostOperation } from '@ephemera/worker';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

// The connection between a proxy and the worker of a host, over real TLS sockets.

const HOST = 'host-a';
const CALL = { host: HOST, id: 'a1', generation: 7 };
const signer = createSigningKeys(() => ['k'.repeat(32)]);
const strangers = createSigningKeys(() => ['s'.repeat(32)]);

interface Worker {
  readonly address: SignedHostAddress;
  /** Operations that were executed. */
  readonly executed: string[];
  /** Operations whose signal has aborted. */
  readonly aborted: string[];
  readonly errors: unknown[];
  connections(): Promise<number>;
  close(): Promise<void>;
}

let clock = 1_000_000;
let generation: number | undefined = 7;
let registered: SignedHostAddress[] = [];
const cleanups: (() => unknown)[] = [];

beforeEach(() => {
  [clock, generation, registered] = [1_000_000, 7, []];
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startWorker(): Promise<Worker> {
  const certificate = makeCertificate();
  const [executed, aborted, errors]: [string[], string[], unknown[]] = [[], [], []];
  const recording = (operation: HostOperation): HostOperation => {
    const begin = (call: Parameters<NonNullable<HostOperation['answer']>>[0]) => {
      executed.push(call.operation);
      call.signal.addEventListener('abort', () => aborted.push(call.operation));
    };
    const { answer, stream } = operation;
    return {
      ...(answer && {
        answer: (call, req, res) => {
          begin(call);
          return answer(call, req, res);
        },
      }),
      ...(stream && {
        stream: (call, socket) => {
          begin(call);
          return stream(call, socket);
        },
      }),
    };
  };
  const held: HostOperation = {
    async answer({ signal, query }, _req, res) {
      if (query.get('begin') === 'yes') res.write('begun');
      await once(signal, 'abort');
    },
    async stream({ signal }, socket) {
      socket.write('begun');
      socket.resume();
      await once(signal, 'abort');
    },
  };
  const operations = new Map<string, HostOperation>([
    [
      'echo',
      {
        async answer({ id, query }, req, res) {
          res.writeHead(200, { 'x-id': id, 'x-query': query.get('a') ?? '' });
          for await (const chunk of req) {
            if (!res.write(chunk)) await once(res, 'drain');
          }
          res.end();
        },
        async stream(_call, socket) {
          for await (const chunk of socket) socket.write(chunk);
        },
      },
    ],
    ['held', held],
    ['broken', { answer: () => Promise.reject(new Error('a secret detail')) }],
  ]);
  const { server, close } = createHostInterface({
    ...{ signer, certificate },
    now: () => clock,
    generationOf: (id) => Promise.resolve(id === CALL.id ? generation : undefined),
    operations: new Map([...operations].map(([name, item]) => [name, recording(item)])),
    onError: (error) => errors.push(error),
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(close);
  const { port } = server.address() as AddressInfo;
  const address = signHostAddress(signer, HOST, {
    url: `https://127.0.0.1:${port}`,
    fingerprint: certificate.fingerprint,
  });
  registered.push(address);
  return {
    ...{ address, executed, aborted, errors, close },
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      }),
  };
}

function connectProxy(keys = signer) {
  const connections = createHostConnections({
    signer: keys,
    addressesOf: (host) => Promise.resolve(host === HOST ? registered : []),
    now: () => clock,
  });
  cleanups.push(() => connections.close());
  return connections;
}

const noConnection = (worker: Worker) =>
  waitFor('no connection', async () => (await worker.connections()) === 0);

describe('a request', () => {
  test('sends and receives a body, its parameters and its status', async () => {
    await startWorker();
    const body = Buffer.alloc(5_000_000, 'ab');
    const query = { a: '&= a' };
    const response = await connectProxy().request({
      ...{ ...CALL, operation: 'echo', query },
      body: Readable.from([body.subarray(0, 3_000_000), body.subarray(3_000_000)]),
    });
    if (response.kind !== 'response') throw new Error(response.detail);
    expect(response.status).toBe(200);
    expect(response.headers['x-id']).toBe(CALL.id);
    expect(response.headers['x-query']).toBe('&= a');
    expect(body.equals(await buffer(response.body))).toBe(true);
  });

  test('uses an open connection again', async () => {
    const worker = await startWorker();
    const proxy = connectProxy();
    for (let i = 0; i < 3; i++) {
      const response = await proxy.request({ ...CALL, operation: 'echo', body: 'x' });
      if (response.kind !== 'response') throw new Error(response.detail);
      expect(await text(response.body)).toBe('x');
    }
    expect(await worker.connections()).toBe(1);
  });

  test('whose operation fails answers 500 without the reason', async () => {
    const worker = await startWorker();
    const response = await connectProxy().request({ ...CALL, operation: 'broken' });
    if (response.kind !== 'response') throw new Error(response.detail);
    expect([response.status, await text(response.body)]).toEqual([500, '']);
    expect(worker.errors).toEqual([new Error('a secret detail')]);
  });

  test('without a response in time is a timeout, and closes its connection', async () => {
    const worker = await startWorker();
    const call = { ...CALL, operation: 'held', timeoutMs: 200 };
    expect(await connectProxy().request(call)).toMatchObject({ kind: 'timeout' });
    await noConnection(worker);
    expect(worker.aborted).toEqual(['held']);
  });
});

describe('a worker refuses', () => {
  const valid: Omit<HostClaims, 'worker'> = { id: CALL.id, generation: 7, operation: 'echo' };

  /** Sends a request with these credentials, and with any certificate accepted. */
  async function send(
    worker: Worker,
    credentials: string | undefined,
    { path = '/echo', upgrade = false } = {},
  ) {
    const req = request(`${worker.address.url}${path}`, {
      method: upgrade ? 'GET' : 'POST',
      rejectUnauthorized: false,
      agent: false,
      headers: {
        ...(credentials !== undefined && { authorization: `Ephemera ${credentials}` }),
        ...(upgrade && { connection: 'upgrade', upgrade: 'ephemera-stream' }),
      },
    });
    req.on('upgrade', (_res, socket) => socket.destroy());
    req.end();
    const [res] = (await Promise.race([once(req, 'response'), once(req, 'upgrade')])) as [
      { statusCode: number; headers: Record<string, string> } & Readable,
    ];
    const isUpgraded = res.statusCode === 101;
    return {
      status: res.statusCode,
      kind: res.headers['ephemera-host-failure'],
      reason: isUpgraded ? '' : await text(res),
    };
  }
  const sign = (worker: Worker, change: Partial<HostClaims> = {}, by = signer) =>
    signHostRequest(by, { worker: worker.address.fingerprint, ...valid, ...change }, clock);

  test.each([false, true])('nothing that is valid (stream: %s)', async (upgrade) => {
    const worker = await startWorker();
    const { status } = await send(worker, sign(worker), { upgrade });
    expect(status).toBe(upgrade ? 101 : 200);
    expect(worker.executed).toEqual(['echo']);
  });

  test.each([
    ['no credentials', () => undefined, 'missing'],
    ['text', () => 'x', 'invalid'],
    ['another key', (worker: Worker) => sign(worker, {}, strangers), 'invalid'],
    [
      'changed claims',
      (worker: Worker) => {
        const [, signature = ''] = sign(worker).split('.');
        return `${sign(worker, { id: 'b2' }).split('.')[0] ?? ''}.${signature}`;
      },
      'invalid',
    ],
    [
      'an expiry in the past',
      (worker: Worker) => {
        const credentials = sign(worker);
        clock += CREDENTIALS_VALIDITY_MS + 1;
        return credentials;
      },
      'expired',
    ],
    [
      'an expiry too far in the future',
      (worker: Worker) => {
        const credentials = sign(worker);
        clock -= CLOCK_TOLERANCE_MS + 1;
        return credentials;
      },
      'early',
    ],
    [
      'another worker',
      (worker: Worker) => sign(worker, { worker: 'f'.repeat(64) }),
      'other_worker',
    ],
    [
      'another operation',
      (worker: Worker) => sign(worker, { operation: 'held' }),
      'other_operation',
    ],
  ])('%s', async (_what, credentialsOf, reason) => {
    const worker = await startWorker();
    const credentials = credentialsOf(worker);
    for (const upgrade of [false, true]) {
      const refusal = { status: 401, kind: 'refused', reason };
      expect(await send(worker, credentials, { upgrade })).toEqual(refusal);
    }
    expect(worker.executed).toEqual([]);
  });

  test.each([
    ['an earlier generation', { generation: 6 }],
    ['a later generation', { generation: 8 }],
    ['the id of no instance', { id: 'b2' }],
  ])('%s', async (_what, change) => {
    const worker = await startWorker();
    for (const upgrade of [false, true]) {
      const answer = await send(worker, sign(worker, change), { upgrade });
      expect(answer).toMatchObject({ status: 410, kind: 'gone' });
    }
    expect(worker.executed).toEqual([]);
  });

  test('an operation that it does not have', async () => {
    const worker = await startWorker();
    const options = { path: '/toString' };
    const credentials = sign(worker, { operation: 'toString' });
    expect(await send(worker, credentials, options)).toMatchObject({
      status: 404,
      kind: 'refused',
    });
  });

  test('a target that is no URL', async () => {
    const worker = await startWorker();
    expect(await send(worker, undefined, { path: '//' })).toMatchObject({ status: 400 });
    expect(worker.errors).toEqual([]);
  });

  test('plain HTTP', async () => {
    const worker = await startWorker();
    const plain = fetch(worker.address.url.replace('https', 'http')).then(() => 'answered');
    expect(await plain.catch(() => 'refused')).toBe('refused');
    expect(worker.executed).toEqual([]);
  });
});

describe('a proxy', () => {
  const call = { ...CALL, operation: 'echo', body: 'x' };

  test('learns that the generation has changed', async () => {
    await startWorker();
    generation = 8;
    expect(await connectProxy().request(call)).toMatchObject({ kind: 'gone' });
    expect(await connectProxy().open({ ...CALL, operation: 'echo' })).toMatchObject({
      kind: 'gone',
    });
  });

  test('sends nothing to a server without the registered certificate', async () => {
    const worker = await startWorker();
    const { url } = worker.address;
    registered = [signHostAddress(signer, HOST, { url, fingerprint: 'f'.repeat(64) })];
    expect(await connectProxy().request(call)).toMatchObject({
      kind: 'unreachable',
      detail: expect.stringContaining('another certificate') as string,
    });
    expect(worker.executed).toEqual([]);
    await noConnection(worker);
  });

  test.each([
    [
      'nobody with a key has signed',
      (address: SignedHostAddress) => ({ ...address, signature: '' }),
    ],
    [
      'has been changed',
      (address: SignedHostAddress) => ({ ...address, url: 'https://127.0.0.1:1' }),
    ],
    [
      'belongs to another host',
      ({ url, fingerprint }: SignedHostAddress) =>
        signHostAddress(signer, 'host-b', { url, fingerprint }),
    ],
  ])('does not use an address that %s', async (_what, change) => {
    const worker = await startWorker();
    registered = [change(worker.address)];
    expect(await connectProxy().request(call)).toMatchObject({
      kind: 'unregistered',
      detail: expect.stringContaining('Set the same EPHEMERA_SIGNING_KEYS') as string,
    });
    expect(worker.executed).toEqual([]);
  });

  test('names the setting where it has no keys, and where no worker has registered', async () => {
    const keyless = createSigningKeys(() => []);
    const failure = {
      kind: 'unregistered',
      detail: expect.stringContaining('EPHEMERA_SIGNING_KEYS') as string,
    };
    expect(await connectProxy().request(call)).toMatchObject(failure);
    await startWorker();
    expect(await connectProxy(keyless).request(call)).toMatchObject(failure);
  });

  test('reaches another worker of the host, and a restarted one', async () => {
    const [first, second] = [await startWorker(), await startWorker()];
    const proxy = connectProxy();
    const answered = async () => {
      const response = await proxy.request({ ...call, isRepeatable: true });
      if (response.kind !== 'response') return response.kind;
      return text(response.body);
    };
    expect(await answered()).toBe('x');
    await first.close();
    expect(await answered()).toBe('x');
    expect([first.executed, second.executed].map(({ length }) => length)).toEqual([1, 1]);
    await second.close();
    expect(await answered()).toBe('unreachable');
    registered = [];
    await startWorker();
    expect(await answered()).toBe('x');
  });

  test('asks no other worker if the one that is meant lives and is not reached', async () => {
    const [first, second] = [await startWorker(), await startWorker()];
    await first.close();
    const proxy = connectProxy();
    const of = (worker: string) => proxy.request({ ...call, isRepeatable: true, worker });
    expect(await of(first.address.fingerprint.slice(0, 26))).toMatchObject({ kind: 'unreachable' });
    expect(second.executed).toEqual([]);
    // It is no longer registered.
    registered = registered.filter(({ fingerprint }) => fingerprint !== first.address.fingerprint);
    expect(await of(first.address.fingerprint.slice(0, 26))).toMatchObject({ kind: 'response' });
  });

  test('gives up a server that accepts connections and says nothing', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    cleanups.push(() => silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const address = { url: `https://127.0.0.1:${port}`, fingerprint: 'f'.repeat(64) };
    registered = [signHostAddress(signer, HOST, address)];
    expect(await connectProxy().request(call)).toMatchObject({ kind: 'unreachable' });
  });
});

describe('a stream', () => {
  test('carries bytes in both directions', async () => {
    await startWorker();
    const opened = await connectProxy().open({ ...CALL, operation: 'echo' });
    if (opened.kind !== 'stream') throw new Error(opened.detail);
    const { stream } = opened;
    const sent = Buffer.alloc(3_000_000, 'xyz');
    let received = 0;
    const all = new Promise<void>((resolve) => {
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received === sent.length) resolve();
      });
    });
    stream.write(sent);
    await all;
    stream.destroy();
  });

  test('is refused where the operation only answers requests', async () => {
    await startWorker();
    const opened = await connectProxy().open({ ...CALL, operation: 'broken' });
    expect(opened).toMatchObject({ kind: 'refused' });
  });
});

describe('no connection is left', () => {
  test('when the proxy aborts before the response', async () => {
    const worker = await startWorker();
    const visitor = new AbortController();
    const { signal } = visitor;
    const response = connectProxy().request({ ...CALL, operation: 'held', signal });
    await waitFor('the call', () => worker.executed.length === 1);
    visitor.abort();
    expect(await response).toMatchObject({ kind: 'aborted' });
    await noConnection(worker);
    expect(worker.aborted).toEqual(['held']);
  });

  test('when the proxy aborts during the response', async () => {
    const worker = await startWorker();
    const visitor = new AbortController();
    const { signal } = visitor;
    const query = { begin: 'yes' };
    const response = await connectProxy().request({ ...CALL, operation: 'held', query, signal });
    if (response.kind !== 'response') throw new Error(response.detail);
    const read = text(response.body).catch(() => 'ended');
    visitor.abort();
    expect(await read).toBe('ended');
    await noConnection(worker);
    expect(worker.aborted).toEqual(['held']);
  });

  test('when the proxy aborts a stream', async () => {
    const worker = await startWorker();
    const visitor = new AbortController();
    const opened = await connectProxy().open({
      ...{ ...CALL, operation: 'held' },
      signal: visitor.signal,
    });
    if (opened.kind !== 'stream') throw new Error(opened.detail);
    opened.stream.on('error', () => undefined);
    visitor.abort();
    await noConnection(worker);
    expect(worker.aborted).toEqual(['held']);
  });

  test('when the worker stops: requests and streams end, and the proxy notices', async () => {
    const worker = await startWorker();
    const proxy = connectProxy();
    const opened = await proxy.open({ ...CALL, operation: 'held' });
    if (opened.kind !== 'stream') throw new Error(opened.detail);
    const closed = once(opened.stream.resume(), 'close');
    opened.stream.on('error', () => undefined);
    const stopping = worker.close();
    await closed;
    await stopping;
    expect(await worker.connections()).toBe(0);
    expect(worker.aborted).toEqual(['held']);
  });

  test('a request in flight may finish while the worker stops', async () => {
    const worker = await startWorker();
    const { promise, resolve } = Promise.withResolvers<string>();
    const body = Readable.from(
      (async function* () {
        yield 'first ';
        yield await promise;
      })(),
    );
    const response = await connectProxy().request({ ...CALL, operation: 'echo', body });
    if (response.kind !== 'response') throw new Error(response.detail);
    const stopping = worker.close();
    await sleep(0);
    resolve('last');
    expect(await text(response.body)).toBe('first last');
    await stopping;
  });
});

describe('a peer that no longer answers', () => {
  /** Forwards connections to a worker until it is cut: then both sides hear nothing more. */
  async function startLink(worker: Worker) {
    const sockets: Socket[] = [];
    let isCut = false;
    const link = createServer((near) => {
      sockets.push(near.on('error', () => undefined));
      if (isCut) return;
      const far = connect(Number(new URL(worker.address.url).port), '127.0.0.1');
      sockets.push(far.on('error', () => undefined));
      near.on('data', (chunk) => isCut || far.write(chunk));
      far.on('data', (chunk) => isCut || near.write(chunk));
    }).listen(0, '127.0.0.1');
    await once(link, 'listening');
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      link.close();
    });
    const url = `https://127.0.0.1:${(link.address() as AddressInfo).port}`;
    const { fingerprint } = worker.address;
    registered = [signHostAddress(signer, HOST, { url, fingerprint })];
    return {
      cut: () => {
        isCut = true;
      },
    };
  }

  test('loses its streams and responses, on both sides', { timeout: 60_000 }, async () => {
    const worker = await startWorker();
    const link = await startLink(worker);
    const proxy = connectProxy();
    const query = { begin: 'yes' };
    const opened = await proxy.open({ ...CALL, operation: 'held' });
    const response = await proxy.request({ ...CALL, operation: 'held', query });
    const waiting = proxy.request({ ...CALL, operation: 'held', timeoutMs: 60_000 });
    if (opened.kind !== 'stream') throw new Error(opened.detail);
    if (response.kind !== 'response') throw new Error(response.detail);
    await waitFor('the calls', () => worker.executed.length === 3);

    link.cut();
    opened.stream.resume();
    const broken = await Promise.all([
      once(opened.stream, 'end').catch((error: unknown) => String(error)),
      text(response.body).catch((error: unknown) => String(error)),
    ]);
    expect(broken).toEqual([
      'Error: the worker no longer answers',
      'Error: the worker no longer answers',
    ]);
    expect(await waiting).toMatchObject({ kind: 'unreachable' });
    await waitFor('the end of the calls', () => worker.aborted.length === 3, 30_000);
    await noConnection(worker);
  });

  test('is told from a quiet one', { timeout: 60_000 }, async () => {
    const worker = await startWorker();
    await startLink(worker);
    const opened = await connectProxy().open({ ...CALL, operation: 'held' });
    if (opened.kind !== 'stream') throw new Error(opened.detail);
    let hasClosed = false;
    opened.stream.resume().once('close', () => {
      hasClosed = true;
    });
    const openedAt = performance.now();
    await waitFor('12 s', () => performance.now() > openedAt + 12_000, 30_000);
    expect([hasClosed, worker.aborted]).toEqual([false, []]);
    opened.stream.destroy();
  });
});
