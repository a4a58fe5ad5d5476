import { Agent, request } from 'node:http';
import { pathOf } from './instances.ts';
import type { Instance } from './instances.ts';
import { FILLING, LARGE } from './upstreams.ts';

const CONCURRENCY = 16;

/**
 * Requests every instance over shared connections, and compares each response with its request. The
 * check in wrk cannot match responses to requests.
 * @throws Error if a response is not the full response of the right instance
 */
export async function verify(port: number, instances: readonly Instance[], name = '') {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  try {
    for (let from = 0; from < instances.length; from += CONCURRENCY) {
      const batch = instances.slice(from, from + CONCURRENCY);
      await Promise.all(
        batch.map(async (instance) => {
          const path = pathOf(instance, name);
          const { status, body } = await get(agent, port, path);
          if (status === 200 && body === expected(instance, name)) return;
          throw new Error(`${path} was answered ${status}: ${body.slice(0, 100)}`);
        }),
      );
    }
  } finally {
    agent.destroy();
  }
}

function expected({ number }: Instance, name: string): string {
  const size = LARGE[name];
  if (size === undefined) return `${number} ${number} ${FILLING}`;
  return Buffer.alloc(size, `${name} `).toString();
}

function get(agent: Agent, port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, agent }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.once('error', reject).end();
  });
}
