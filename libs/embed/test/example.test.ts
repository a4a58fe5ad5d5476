import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import {
  CHROMIUM,
  type Deployment,
  demoTemplate,
  deploy,
  freePort,
  waitFor,
} from '@ephemera/test-support';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { containersOf } from './fixture.ts';

// The example application in a browser: two processes of it, and a replica, over one Redis. Each
// process of the application has a worker, and so has the deployment.

const program = join(import.meta.dirname, '../../../examples/embed/app.mjs');

let site: Deployment;
let browser: Browser;

beforeAll(async () => {
  [site, browser] = await Promise.all([
    deploy({ templates: `templates: { demo: ${demoTemplate()} }` }),
    chromium.launch(CHROMIUM),
  ]);
});
afterAll(async () => {
  await browser.close();
  await site.stop();
});

/** Starts the application. Returns its port, and what stops it. */
async function startApplication() {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port), REDIS_URL: site.redis.url };
  const child = spawn(process.execPath, [program], {
    env: { ...env, NAMESPACE: site.namespace },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill('SIGTERM');
    await once(child, 'exit');
    return child.exitCode;
  };
  onTestFinished(async () => {
    await stop();
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await waitFor('the application', () => {
    if (child.exitCode !== null) throw new Error(`exited with ${child.exitCode}`);
    return output.includes(`http://localhost:${port}`);
  });
  return { port, stop };
}

test('a user logs in, starts an instance, and nobody else can open it', async () => {
  const first = await startApplication();
  const second = await startApplication();
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://localhost:${first.port}/demo/new`);
  expect(await page.title()).toBe('Log in');

  await page.getByLabel('Name').fill('ada');
  await page.getByLabel('Password').fill('wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  expect(await page.innerText('body')).toBe('Wrong name or password');
  await page.goto(`http://localhost:${first.port}/`);
  await page.getByLabel('Name').fill('ada');
  await page.getByLabel('Password').fill('engine');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Hello ada' }).waitFor();

  await page.getByRole('button', { name: 'Start the lesson' }).click();
  await page.waitForURL(/^http:\/\/[a-z0-9]{26}\.localhost:\d+\/$/);
  const { hostname } = new URL(page.url());
  const id = hostname.slice(0, 26);
  await page.getByText(id).first().waitFor();
  // The origin of the instance does not get the session of the application.
  const cookies = await context.cookies(page.url());
  expect(cookies.map(({ name }) => name)).not.toContain('user');

  // The quota of the user is used up.
  await page.goto(`http://localhost:${first.port}/`);
  await page.getByRole('button', { name: 'Start the lesson' }).click();
  await page.getByText('This user has reached the maximum number of instances').waitFor();

  // All three processes serve it, to a client with its access cookie.
  const [cookie] = (await context.cookies(`http://${hostname}:${first.port}/`)).map(
    ({ name, value }) => `${name}=${value}`,
  );
  const replicaPort = Number(new URL(site.publicUrls[0] ?? '').port);
  for (const port of [first.port, second.port]) {
    const url = `http://127.0.0.1:${port}/id`;
    const host = `${id}.localhost:${port}`;
    expect(await textOf(url, { host, cookie: cookie ?? '' })).toBe(`200 ${id}`);
    expect(await textOf(url, { host })).toMatch(/^403 /);
  }
  const below = `http://127.0.0.1:${replicaPort}/demo/${id}/id`;
  expect(await textOf(below, {})).toMatch(/^403 /);
  const shown = await site.api('GET', `/v1/instances/${id}`);
  expect(await shown.json()).toMatchObject({
    status: { state: 'ready' },
    template: 'lesson',
  });

  // It ends with the process that started it, and not with another one.
  expect(await second.stop()).toBe(0);
  expect(await containersOf(site.namespace)).toContain(id);
  expect(await first.stop()).toBe(0);
  expect(await containersOf(site.namespace)).not.toContain(id);
});

/** GET with a Host of its own, which `fetch` does not allow. Returns status and body. */
async function textOf(url: string, headers: Record<string, string>): Promise<string> {
  const { get } = await import('node:http');
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  get(url, { headers, agent: false }, (res) => {
    let text = '';
    res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    res.on('end', () => resolve(`${res.statusCode} ${text}`));
  }).on('error', reject);
  return await promise;
}
