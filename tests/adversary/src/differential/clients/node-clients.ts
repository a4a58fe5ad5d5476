/** Clients of Node.js. Arguments: base addresses. Prints `BASE NAME: ok`, or what happened instead. */
import { request } from 'node:http';
import { WebSocket as WsClient } from 'ws';

const LARGE = Buffer.alloc(1 << 20);

async function check(base: string, name: string, run: () => Promise<string>): Promise<void> {
  const outcome = await run().catch((error: unknown) => String(error));
  process.stdout.write(`${base} ${name}: ${outcome.replaceAll('\n', ' ')}\n`);
}

async function fetched(base: string, bytes: number, init: RequestInit = {}): Promise<string> {
  const response = await fetch(`${base}/hi`, init);
  const text = await response.text();
  return response.status === 200 && text.includes(`"bytes":${bytes},`)
    ? 'ok'
    : `${response.status} ${text}`;
}

async function requested(base: string, headers: Record<string, string>, body: string) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const sent = request(`${base}/hi`, { method: 'PUT', headers }, (response) => {
    response.resume().on('end', () => {
      resolve(response.statusCode === 200 ? 'ok' : String(response.statusCode));
    });
  });
  sent.on('error', reject);
  if (headers['expect'] === undefined) sent.end(body);
  else sent.on('continue', () => sent.end(body)).flushHeaders();
  return await promise;
}

async function echoed(base: string, path: string): Promise<string> {
  const socket = new WsClient(base.replace(/^http/, 'ws') + path, ['v1.a', 'v2.b']);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  socket.on('open', () => socket.send(LARGE));
  socket.on('message', (data: Buffer) => {
    socket.close(4001, 'done');
    socket.on('close', (code) => {
      resolve(data.length === LARGE.length && code === 4001 ? 'ok' : `${data.length} ${code}`);
    });
  });
  socket.on('error', reject);
  return await promise;
}

async function echoedByOwn(base: string): Promise<string> {
  const socket = new WebSocket(`${base.replace(/^http/, 'ws')}/ws`);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  socket.addEventListener('open', () => socket.send('hello'));
  socket.addEventListener('message', ({ data }) => {
    socket.close();
    resolve(data === 'hello' ? 'ok' : String(data));
  });
  socket.addEventListener('error', () => reject(new Error('the WebSocket failed')));
  return await promise;
}

const streamed = () => new Blob([LARGE, LARGE]).stream();
for (const base of process.argv.slice(2)) {
  await check(base, 'fetch GET', async () => await fetched(base, 0));
  await check(
    base,
    'fetch POST',
    async () => await fetched(base, 3, { method: 'POST', body: 'abc' }),
  );
  await check(base, 'fetch of a stream', async () => {
    const init = { method: 'POST', body: streamed(), duplex: 'half' } as const;
    return await fetched(base, 2 * LARGE.length, init);
  });
  await check(base, 'http.request', async () => await requested(base, {}, 'abc'));
  await check(base, 'http.request with Expect', async () => {
    return await requested(base, { expect: '100-continue', 'content-length': '3' }, 'abc');
  });
  await check(base, 'http.request with Trailer', async () => {
    return await requested(base, { trailer: 'X-Sum', 'transfer-encoding': 'chunked' }, 'abc');
  });
  await check(base, 'ws', async () => await echoed(base, '/ws'));
  await check(
    base,
    'ws with a backslash in its query',
    async () => await echoed(base, '/ws?q=C:\\dir'),
  );
  await check(base, 'WebSocket', async () => await echoedByOwn(base));
}
