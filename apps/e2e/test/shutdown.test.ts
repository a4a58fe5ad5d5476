import { type App, type Deployment, deploy, waitFor } from '@ephemera/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { containersOf } from './docker-cli.ts';

// A worker is asked to stop in the midst of its work.

const COMMON = `image: ephemera/demo
    port: 8080
    timeout: 5m
    ready: { http: /id, within: 2m }
    limits: { memory: 32m, pids: 32 }
    readOnly: true
    tmpfs: { /tmp: 8m }`;
const TEMPLATES = `
default: demo
templates:
  demo:
    ${COMMON}
    stopGrace: 0s
`;

/** Several starts one after the other, on a machine that may have much to do. */
const SLOW = 240_000;

let site: Deployment;
beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
});
afterAll(() => site.stop());

const create = async (template: string): Promise<string> => {
  const answer = await site.api('POST', '/v1/instances', { template });
  return ((await answer.json()) as { id: string }).id;
};
const stateOf = async (id: string): Promise<string> => {
  const answer = await site.api('GET', `/v1/instances/${id}`);
  return ((await answer.json()) as { status: { state: string } }).status.state;
};
const isReady = (id: string) =>
  waitFor('ready', async () => (await stateOf(id)) === 'ready', 120_000);
const lastWorker = (): App => {
  const worker = site.workers.at(-1);
  if (!worker) throw new Error('there is no worker');
  return worker;
};
const ended = ({ child }: App) =>
  new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));

test(
  'what it has begun is finished or handed back: everybody gets his instance',
  async () => {
    const worker = lastWorker();
    const ids = await Promise.all(Array.from({ length: 2 }, () => create('demo')));
    await waitFor('the first start', () => worker.log().includes('spawn begins'));
    const code = ended(worker);
    worker.child.kill('SIGTERM');
    expect(await code).toBe(0);
    expect(worker.log()).toContain('"msg":"stopped"');

    await site.startWorker();
    for (const id of ids) await isReady(id);
    expect(await containersOf(site.namespace)).toHaveLength(2);
  },
  SLOW,
);
