import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { freePort, startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { createTokens, hashToken } from '@ephemera/http';
import { createSessions } from '../src/access/session.ts';
import { BEARER, TOKEN, signIn } from './fixture.ts';

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

test('sessions are signed with a key that only this process has', async () => {
  const store = await startRedis();
  const run = async () => {
    const port = await freePort();
    const child = start({
      EPHEMERA_ADMIN_TOKEN: TOKEN,
      EPHEMERA_REDIS_URL: store.url,
      EPHEMERA_DASHBOARD_PORT: String(port),
    });
    const url = `http://127.0.0.1:${port}`;
    const statusWith = async (cookie: string) => {
      const page = `${url}/dashboard/instances`;
      return (await fetch(page, { headers: { cookie }, redirect: 'manual' })).status;
    };
    onTestFinished(() => void child.kill('SIGKILL'));
    await waitFor('the dashboard', () => fetch(`${url}/healthz`));
    return { url, statusWith };
  };
  try {
    const [first, second] = await Promise.all([run(), run()]);
    const cookie = await signIn(first.url);
    expect(await first.statusWith(cookie)).toBe(200);
    expect(await second.statusWith(cookie)).toBe(401);
    // The owner of a session could guess a weak token offline if the token were the key.
    const tokens = createTokens(TOKEN, () => ({}));
    const who = tokens.identify(TOKEN);
    if (!who) throw new Error('the token is not known');
    for (const key of [TOKEN, hashToken(TOKEN), hashToken(TOKEN).slice(7), who.fingerprint, '']) {
      const forged = createSessions(key, tokens, Date.now).create(who);
      expect(await first.statusWith(`ephemera-dashboard=${forged}`), key).toBe(401);
    }
  } finally {
    await store.stop();
  }
});
