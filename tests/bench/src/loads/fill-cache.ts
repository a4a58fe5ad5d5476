import { Agent, request } from 'node:http';
import type { Instance } from '../instances.ts';

const CONCURRENCY = 32;

/**
 * Fills the route cache of a proxy without a request to an instance: the proxy looks up each route
 * and answers 404 for an unknown port.
 */
export async function fillCache(port: number, instances: readonly Instance[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  let next = 0;
  const ask = (): Promise<void> => {
    const instance = instances[next++];
    if (instance === undefined) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const path = `/demo/${instance.id}:9/`;
      request({ host: '127.0.0.1', port, path, agent }, (response) => {
        response.resume().once('end', resolve);
        if (response.statusCode !== 404) reject(new Error(`${path}: ${response.statusCode}`));
      })
        .once('error', reject)
        .end();
    }).then(ask);
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, ask));
  } finally {
    agent.destroy();
  }
}
