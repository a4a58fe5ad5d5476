import { connect } from 'node:net';
import { keysOf } from '@ephemera/store';
import { waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// Proxies connect to the workers of a host: logs, resource usage, pause and resume take this way.

const LINES = 20_000;
const TEMPLATES = `
default: flood
templates:
  flood:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    tmpfs: { /tmp: 1m }
    command: ['/bin/sh', '-c', 'i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line number $i of many; done; exec httpd -f -p 8080 -h /tmp']
`;

let site: Deployment;
let redis: Redis;
beforeAll(async () => {
  site = await deploy({
    ...{ templates: TEMPLATES, workers: 2 },
    env: { EPHEMERA_SIGNING_KEYS: 'e2e-0123456789abcdef0123456789abcdef' },
  });
  redis = new Redis(site.redis.url);
});
afterAll(async () => {
  redis.disconnect();
  await site.stop();
});

async function start(): Promise<string> {
  const answer = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=60' });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as { id: string }).id;
}

const logOf = async (id: string) => {
  const answer = await site.api('GET', `/v1/instances/${id}/logs`);
  return { status: answer.status, text: await answer.text() };
};

/** The commands that Redis receives during `work`. */
async function commandsDuring(work: () => Promise<unknown>): Promise<string[]> {
  // Not `monitor()` of ioredis: it fails if the command of another client arrives with its response.
  const { hostname, port } = new URL(site.redis.url);
  const socket = connect(Number(port), hostname).setEncoding('utf8');
  let text = '';
  socket.on('data', (chunk: string) => (text += chunk));
  try {
    socket.write('MONITOR\r\n');
    await waitFor('the monitor', () => text.startsWith('+OK'));
    await work();
    await redis.echo('the end');
    await waitFor('all commands', () => text.includes('"echo" "the end"'));
  } finally {
    socket.destroy();
  }
  return text.split('\r\n').slice(1);
}

const addresses = async () => {
  const [host = ''] = await redis.zrange(keysOf(site.namespace).hosts, '0', '-1');
  return redis.hkeys(keysOf(site.namespace).hostAddresses(host));
};

test('a log does not pass Redis, and is complete', async () => {
  const id = await start();
  const complete = () =>
    waitFor('the whole log', async () => {
      const { text } = await logOf(id);
      return text.split('\n').length === LINES + 1 && text;
    });
  await complete();
  const commands = await commandsDuring(complete);
  expect(commands.length).toBeGreaterThan(0);
  expect(commands.filter((command) => command.includes('line number'))).toEqual([]);
});

test('usage, pause and resume take the connection too: nothing is sent by Redis', async () => {
  const id = await start();
  const commands = await commandsDuring(async () => {
    for (const [method, path] of [
      ['GET', 'stats'],
      ['POST', 'pause'],
      ['POST', 'resume'],
    ] as const) {
      const answer = await site.api(method, `/v1/instances/${id}/${path}`);
      expect([path, answer.status]).toEqual([path, 200]);
    }
  });
  expect(commands.filter((command) => /"rpush" "[^"]*:rpc"/i.test(command))).toEqual([]);
});

test('another worker of the host answers after one was killed; one that stops removes its address', async () => {
  const id = await start();
  const known = await addresses();
  expect(known).toHaveLength(2);
  const [first, second] = site.workers;
  first?.child.kill('SIGKILL');
  expect((await logOf(id)).status).toBe(200);
  await waitFor('the exit', () => first?.child.signalCode === 'SIGKILL');
  expect((await logOf(id)).status).toBe(200);

  await site.startWorker();
  const restarted = await waitFor('its address', async () => {
    const current = await addresses();
    return current.some((fingerprint) => !known.includes(fingerprint)) && current;
  });
  second?.child.kill('SIGTERM');
  await waitFor('the exit', () => second?.child.exitCode === 0);
  expect(await addresses()).toHaveLength(restarted.length - 1);
  expect((await logOf(id)).status).toBe(200);
});
