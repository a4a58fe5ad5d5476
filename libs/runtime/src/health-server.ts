import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Registry } from 'prom-client';

/** What `/readyz` answers: ready only where every part is. */
export interface Readiness {
  readonly ready: boolean;
  readonly parts: Readonly<Record<string, boolean>>;
}

/** A small server for an app without an HTTP face of its own: health and metrics, GET only. */
export function createHealthServer(options: {
  readiness: () => Promise<Readiness>;
  metrics: Registry;
}): Server {
  return createServer((req, res) => {
    void answer(req.url ?? '/').then(({ status, type, body }) => {
      res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
    });
  });

  async function answer(path: string): Promise<{ status: number; type: string; body: string }> {
    const json = 'application/json';
    if (path === '/healthz') return { status: 200, type: json, body: '{"status":"ok"}' };
    if (path === '/readyz') {
      const readiness = await options.readiness();
      return { status: readiness.ready ? 200 : 503, type: json, body: JSON.stringify(readiness) };
    }
    if (path === '/metrics') {
      const body = await options.metrics.metrics();
      return { status: 200, type: options.metrics.contentType, body };
    }
    return { status: 404, type: json, body: '{"title":"Not found","status":404}' };
  }
}
