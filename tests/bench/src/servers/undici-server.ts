/**
 * The low-level dispatch of undici behind a plain node:http server, without limits. The routes are
 * in a Map.
 */
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import { idOf, readArguments } from './targets.ts';

const { port, targets } = readArguments();
const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
const origins = new Map([...targets].map(([id, t]) => [id, `http://${t.host}:${t.port}`]));

class Passing implements Dispatcher.DispatchHandler {
  readonly #res: ServerResponse;
  constructor(res: ServerResponse) {
    this.#res = res;
  }
  onRequestStart(): void {
    this.#res.sendDate = false;
  }
  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const raw = controller.rawHeaders as unknown as Buffer[];
    this.#res.writeHead(
      status,
      raw.map((part) => part.toString('latin1')),
    );
  }
  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#res.write(chunk);
  }
  onResponseEnd(): void {
    this.#res.end();
  }
  onResponseError(): void {
    this.#res.destroy();
  }
}

createServer((req, res) => {
  const origin = origins.get(idOf(req.url ?? ''));
  if (origin === undefined) return void res.writeHead(404).end();
  const headers = req.rawHeaders.filter((_, i) => req.rawHeaders[i & ~1] !== 'Connection');
  const options = { origin, path: req.url ?? '/', method: 'GET' as const, headers };
  agent.dispatch(options, new Passing(res));
}).listen(port, '127.0.0.1');
