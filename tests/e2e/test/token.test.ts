import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// A secret that only the container and the creator of the instance know, as a notebook server needs
// it.

let site: Deployment;

beforeAll(async () => {
  site = await deploy({
    templates: `
templates:
  secret:
    image: ephemera/demo
    port: 8080
    create: token
    timeout: 60s
    stopGrace: 0s
    readOnly: true
    tmpfs: { /tmp: 8m }
    env: { SECRET: 'is {token}' }
    command: [/bin/sh, -c, 'mkdir /tmp/www; echo "$SECRET" > /tmp/www/index.html; httpd -f -p {port} -h /tmp/www']
  plain: { image: ephemera/demo, port: 8080, readOnly: true, tmpfs: { /tmp: 8m } }
`,
  });
});
afterAll(() => site.stop());

test('only the response to the creation contains the token, and the container receives it', async () => {
  const made = await site.api(
    'POST',
    '/v1/instances',
    { template: 'secret' },
    { prefer: 'wait=30' },
  );
  const { id, token } = (await made.json()) as { id: string; token: string };
  expect(token).toMatch(/^[a-z][a-z0-9]{25}$/);
  expect(token).not.toBe(id);
  const page = await fetch(`${site.publicUrls[0]}/demo/${id}/`);
  expect((await page.text()).trim()).toBe(`is ${token}`);
  for (const path of [`/v1/instances/${id}`, '/v1/instances']) {
    expect(await (await site.api('GET', path)).text()).not.toContain(token);
  }
  for (const app of [...site.proxies, ...site.workers]) expect(app.log()).not.toContain(token);
});

test('a template without {token} returns no token', async () => {
  const made = await site.api('POST', '/v1/instances', { template: 'plain' });
  expect(await made.json()).not.toHaveProperty('token');
});
