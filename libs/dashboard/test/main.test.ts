import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { freePort, startRedis, waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { BEARER, TOKEN } from './fixture.ts';

const MAIN = new URL('../../../apps/dashboard/src/main.ts', import.meta.url).pathname;

function start(environment: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

async function complaint(environment: Record<string, string>): Promise<string> {
  const child = start(environment);
  const [said, [code]] = await Promise.all([
    child.stderr ? text(child.stderr) : '',
    once(child, 'exit') as Promise<[number]>,
  ]);
  expect(code).toBe(1);
  return said;
}

test('it does not start without a token', async () => {
  expect(await complaint({})).toContain('EPHEMERA_ADMIN_TOKEN: must be set');
  expect(await complaint({ EPHEMERA_HOST: '0.0.0.0' })).toContain('EPHEMERA_ADMIN_TOKEN');
  const both = await complaint({ EPHEMERA_ADMIN_TOKEN: 'short', EPHEMERA_DASHBOARD_PORT: '0' });
  expect(both).toContain('EPHEMERA_ADMIN_TOKEN: must have at least 16 characters');
  expect(both).toContain('EPHEMERA_DASHBOARD_PORT: must be a port from 1 to 65535');
  expect(both).not.toContain('    at ');
});

test('it does not start without Redis, and names the address', async () => {
  const url = `redis://user:secret@127.0.0.1:${await freePort()}/0`;
  const said = await complaint({ EPHEMERA_ADMIN_TOKEN: TOKEN, EPHEMERA_REDIS_URL: url });
  expect(said).toContain('Redis does not answer at redis://user:***@127.0.0.1');
  expect(said).not.toContain('secret');
});

test('it starts, answers, and stops on SIGTERM', async () => {
  const store = await startRedis();
  const port = await freePort();
  const child = start({
    EPHEMERA_ADMIN_TOKEN: TOKEN,
    EPHEMERA_REDIS_URL: store.url,
    EPHEMERA_DASHBOARD_PORT: String(port),
  });
  try {
    const page = await waitFor('the page', () =>
      fetch(`http://127.0.0.1:${port}/`, { headers: BEARER }),
    );
    expect(await page.text()).toContain('<h1>Instances</h1>');
    // An open browser connection must not keep the process running.
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(0);
  } finally {
    child.kill('SIGKILL');
    await store.stop();
  }
});
