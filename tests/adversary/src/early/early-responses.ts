import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installed, startChild } from '@ephemera/test-support';
import { type PeerName, PEERS } from '../differential/peers.ts';
import { type How, HOWS, startEarlyInstance, TOO_LARGE } from './early-instance.ts';
import { type Place, PLACES, type Responder, startEarlyTargets } from './early-targets.ts';

/** How many of the responses each proxy delivered in one case. */
export interface EarlyResult {
  readonly client: string;
  readonly place: Place;
  readonly responder: string;
  /** Whether the instance resets its connection, so that a proxy may be too late for the response. */
  readonly isReset: boolean;
  readonly tries: number;
  readonly delivered: Readonly<Partial<Record<PeerName, number>>>;
}

/** More than the buffers of the kernel hold, so that the client still sends when it is answered. */
const LARGE = 12 * 1024 ** 2;
/** The largest upload that nginx takes with its defaults is 1 MiB. */
const BEHIND_NGINX = 1_000_000;
/** A client that hangs is killed after this time, ms. */
const CLIENT_TIMEOUT_MS = 20_000;
/** How many clients upload at a time. */
const CONCURRENCY = 4;

/** Uploads `bytes` to a URL; resolves to the status and the body of the response, or to an error. */
type Client = (url: string, bytes: number) => Promise<string>;

/**
 * Uploads to proxies that respond before the upload has ended, or whose instance does. Counts how many
 * clients received the response.
 *
 * @param tries uploads per case and proxy
 * @param compare when nginx and haproxy run the case, too: always, or where Ephemera lost a response
 */
export async function earlyResponses(
  tries: number,
  compare: 'always' | 'where one is lost',
): Promise<EarlyResult[]> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-early-'));
  const instance = await startEarlyInstance();
  const targets = await startEarlyTargets(instance.port);
  try {
    const clients = await makeClients(folder);
    const results: EarlyResult[] = [];
    for (const { place, responder, how } of cases()) {
      for (const [name, client] of Object.entries(clients)) {
        const bytes = place === 'direct' ? LARGE : BEHIND_NGINX;
        const count = async (peer: PeerName) => {
          const url = `${targets.url(peer, place, responder)}?how=${how?.replace(' ', '+') ?? 'none'}`;
          const outcomes = await inTurns(tries, async () => await client(url, bytes));
          return outcomes.filter((outcome) => isExpected(outcome, responder)).length;
        };
        const delivered: Partial<Record<PeerName, number>> = {};
        // One after the other: they would take the processor from each other.
        for (const peer of PEERS) {
          if (compare !== 'always' && delivered.ephemera === tries) break;
          delivered[peer] = await count(peer);
        }
        results.push({
          client: name,
          place,
          responder: how === undefined ? `the proxy: ${responder}` : `an instance that ${how}`,
          isReset: how === 'stops reading',
          tries,
          delivered,
        });
      }
    }
    return results;
  } finally {
    await targets.stop();
    instance.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether Ephemera delivered every response that it could, and as many as nginx and haproxy. */
export function isEarlyWell({ isReset, tries, delivered }: EarlyResult): boolean {
  const { ephemera = 0, nginx = 0, haproxy = 0 } = delivered;
  return ephemera === tries || (isReset && ephemera >= Math.max(nginx, haproxy));
}

interface Case {
  readonly place: Place;
  readonly responder: Responder;
  /** For an instance. */
  readonly how?: How;
}

function cases(): Case[] {
  return PLACES.flatMap((place) => [
    ...HOWS.map((how) => ({ place, responder: 'instance' as const, how })),
    { place, responder: '404' as const },
    { place, responder: '400' as const },
  ]);
}

/** `413 too large`, or the status of the proxy with a body of its own. */
function isExpected(outcome: string, responder: Responder): boolean {
  return responder === 'instance'
    ? outcome === `413 ${TOO_LARGE}`
    : outcome.startsWith(`${responder} `);
}

async function makeClients(folder: string): Promise<Record<string, Client>> {
  const program = await installed('curl');
  const fileOf = (bytes: number) => join(folder, String(bytes));
  for (const bytes of [LARGE, BEHIND_NGINX]) await writeFile(fileOf(bytes), Buffer.alloc(bytes));
  const curl =
    (...more: string[]): Client =>
    async (url, bytes) => {
      const child = startChild(program, [
        ...['-s', '--path-as-is', '-m', String(CLIENT_TIMEOUT_MS / 1000), '-w', '%{http_code} '],
        // Without waiting for `100 Continue`.
        ...['-H', 'Expect:', '-T', fileOf(bytes), ...more, url],
      ]);
      const code = await child.exit();
      const [, body = '', status = ''] = /^([^]*?)(\d{3}) $/.exec(child.log()) ?? [];
      return status === '000' ? `curl ${code}` : `${status} ${body}`;
    };
  return {
    curl: curl(),
    'curl, closing': curl('-H', 'Connection: close'),
    'curl, chunked': curl('-H', 'Transfer-Encoding: chunked'),
    'curl, HTTP/1.0': curl('--http1.0'),
    'Node.js': uploadByNode,
  };
}

async function uploadByNode(url: string, bytes: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const headers = { 'content-length': bytes };
  const { port } = new URL(url);
  // `URL` would resolve the dot segment.
  const path = url.slice(url.indexOf('/', 'http://'.length));
  const to = { host: '127.0.0.1', port, path, method: 'PUT', headers, agent: false };
  const req = request(to, (res) => {
    let body = '';
    res.setEncoding('utf8').on('data', (text: string) => (body += text));
    res.on('end', () => resolve(`${res.statusCode} ${body}`));
    res.on('error', (error) => resolve(error.message));
  });
  req.setTimeout(CLIENT_TIMEOUT_MS, () => req.destroy(new Error('it took too long')));
  req.on('error', (error) => resolve(error.message));
  const piece = Buffer.alloc(64 * 1024);
  let left = bytes;
  const send = () => {
    while (left > 0) {
      const size = Math.min(left, piece.length);
      left -= size;
      if (!req.write(piece.subarray(0, size))) {
        req.once('drain', send);
        return;
      }
    }
    req.end();
  };
  send();
  const outcome = await promise;
  req.destroy();
  return outcome;
}

async function inTurns<T>(count: number, run: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async () => {
    while (next++ < count) results.push(await run());
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return results;
}
