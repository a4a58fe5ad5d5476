import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Registry } from 'prom-client';

/** The answer of `/readyz`. Ready only if every part is. */
export interface Readiness {
  readonly ready: boolean;
  readonly parts: Readonly<Record<string, boolean>>;
  readonly config: ConfigStatus;
}

/** State of the configuration file. It does not affect readiness. */
export interface ConfigStatus {
  /** False if the present file has errors, so that an earlier version is in force. */
  readonly isCurrent: boolean;
  readonly issues: readonly {
    readonly path: string;
    readonly line?: number | undefined;
    readonly detail: string;
  }[];
}

export function configStatus({ issues }: Pick<ConfigStatus, 'issues'>): ConfigStatus {
  return {
    isCurrent: issues.length === 0,
    issues: issues.map(({ path, line, detail }) => ({ path, line, detail })),
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Serves health and metrics for an app without another HTTP server. GET and HEAD only. */
export function createHealthServer(options: {
  readiness: () => Promise<Readiness>;
  metrics: Registry;
  /** Receives why a request was answered with 500. */
  onError?: (error: unknown) => void;
}): Server {
  const json = 'application/json';
  return createServer((req, res) => {
    const get = req.method === 'GET' || req.method === 'HEAD';
    void (get ? answer(req.url ?? '/') : Promise.resolve(problem(405, 'Method not allowed')))
      // A metric may fail to be read, for example a gauge that reads Redis.
      .catch((error: unknown) => {
        options.onError?.(error);
        return problem(500, 'Internal error');
      })
      .then(({ status, type, body }) => {
        res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
      });
  });

  async function answer(path: string): Promise<Answer> {
    if (path === '/healthz') return { status: 200, type: json, body: '{"status":"ok"}' };
    if (path === '/readyz') {
      const readiness = await options.readiness();
      return { status: readiness.ready ? 200 : 503, type: json, body: JSON.stringify(readiness) };
    }
    if (path === '/metrics') {
      const body = await options.metrics.metrics();
      return { status: 200, type: options.metrics.contentType, body };
    }
    return problem(404, 'Not found');
  }

  function problem(status: number, title: string): Answer {
    return { status, type: json, body: JSON.stringify({ title, status }) };
  }
}
