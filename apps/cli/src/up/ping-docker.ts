import { request } from 'node:http';

import type { DockerEndpoint } from './docker-endpoint.ts';

/** The result of pinging a Docker Engine. */
export type DockerAnswer =
  | { readonly kind: 'running'; readonly engine: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'broken'; readonly problem: string };

/** Sends `GET /_ping`, and waits at most `timeoutMs`. Never throws. */
export function pingDocker(endpoint: DockerEndpoint, timeoutMs = 5_000): Promise<DockerAnswer> {
  const where =
    endpoint.kind === 'unix'
      ? { socketPath: endpoint.path }
      : { host: endpoint.host, port: endpoint.port };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request({ ...where, path: '/_ping', agent: false, signal }, (answer) => {
      answer.resume();
      const { server, 'api-version': api } = answer.headers;
      if (answer.statusCode === 200 && api !== undefined) {
        resolve({ kind: 'running', engine: engineName(String(server)) });
      } else {
        resolve({ kind: 'broken', problem: `GET /_ping answered ${answer.statusCode}` });
      }
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve({ kind: 'absent' });
      else if (error.code === 'EACCES') resolve({ kind: 'forbidden' });
      else resolve({ kind: 'broken', problem: signal.aborted ? 'no answer' : error.message });
    });
    asked.end();
  });
}

/** `Docker/20.10.24+dfsg1 (linux)` → `Docker 20.10.24`. */
function engineName(server: string): string {
  const version = /^Docker\/([\d.]+)/.exec(server)?.[1];
  return version === undefined ? 'Docker' : `Docker ${version}`;
}
