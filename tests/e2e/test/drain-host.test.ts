import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { containersOf } from './docker-cli.ts';

// An operator takes a host out of service with the command line, and uses it again.

const TEMPLATES = `
default: page
templates:
  page: ${demoTemplate({ timeout: '10m', maxTimeout: '10m', whenFull: 'refuse' })}
  pooled: ${demoTemplate({ timeout: '10m', maxTimeout: '10m', pool: 2 })}
`;

let site: Deployment;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
});
afterAll(() => site.stop());

const run = promisify(execFile);
const main = join(import.meta.dirname, '../../../apps/cli/src/main.ts');
const ephemera = (...words: string[]) =>
  run(process.execPath, [main, ...words], {
    env: {
      PATH: process.env['PATH'],
      EPHEMERA_ADMIN_URL: site.adminUrls[0],
      EPHEMERA_ADMIN_TOKEN: TOKEN,
    },
  });

const containers = async () => (await containersOf(site.namespace)).length;

test('a drain ends warm instances at once and the others at its deadline, and then the host starts again', async () => {
  await waitFor('a full pool', async () => (await containers()) === 2, 60_000);
  const created = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=60' });
  expect(created.status).toBe(201);
  const { id } = (await created.json()) as { id: string };
  const host = (await ephemera('host', 'ls', '--quiet')).stdout.trim();
  expect(host).not.toBe('');

  await ephemera('host', 'drain', host, '--no-wait');
  await waitFor('the end of the warm instances', async () => (await containers()) === 1, 60_000);
  // The instance of a client keeps running, and nothing else starts.
  const url = `${site.publicUrls[0]}/demo/${id}/id`;
  expect(await (await fetch(url)).text()).toBe(id);
  const refused = await site.api('POST', '/v1/instances', {});
  expect([refused.status, await refused.json()]).toEqual([
    429,
    expect.objectContaining({ limit: 'hosts' }),
  ]);

  const drained = await ephemera('host', 'drain', host, '--deadline', '1s');
  expect(drained.stderr).toContain(`${host}: 1 instance left`);
  expect(drained.stdout).toContain('Its machine may be switched off.');
  expect(await containers()).toBe(0);
  expect((await fetch(url)).status).toBe(410);
  const ended = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
  expect(ended).toMatchObject({ status: { state: 'gone', reason: 'host_drained' } });

  await ephemera('host', 'uncordon', host);
  expect((await site.api('POST', '/v1/instances', {}, { prefer: 'wait=60' })).status).toBe(201);
  await waitFor('a full pool again', async () => (await containers()) === 3, 60_000);
}, 240_000);
