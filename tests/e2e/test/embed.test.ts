import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CHROMIUM } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// A guarded instance in a frame of another site. `host.localhost`, `other.localhost` and `localhost`
// are sites of their own, and secure contexts.

/** Answers with the cookies of the request, and forbids frames in the way of many applications. */
const PAGE = `
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    limits: { memory: 64m }
    command:
      - /bin/sh
      - -c
      - |
        mkdir /tmp/www; cd /tmp/www
        echo 'printf "Content-Type: text/html\\r\\nX-Frame-Options: DENY\\r\\n\\r\\n<p id=app>inside</p>"' > app.sh
        echo '*.sh:/bin/sh' > /tmp/httpd.conf
        exec httpd -f -p {port} -h /tmp/www -c /tmp/httpd.conf`;

let browser: Browser;
/** Serves the outer pages under every name. */
const outer = createServer((_req, res) => {
  res.setHeader('content-type', 'text/html').end('<!doctype html><title>outer</title>');
});
let port: number;

beforeAll(async () => {
  browser = await chromium.launch(CHROMIUM);
  await new Promise<void>((resolve) => outer.listen(0, '127.0.0.1', resolve));
  ({ port } = outer.address() as AddressInfo);
});
afterAll(async () => {
  await browser.close();
  outer.close();
});

/** Opens `src` in a frame of a page of `site`. Returns the text of the frame, and its page. */
async function frame(site: string, src: string): Promise<{ text: string; page: Page }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://${site}:${port}/`);
  const loaded = page.waitForEvent('framenavigated', (found) => found !== page.mainFrame());
  await page.evaluate(`(() => {
    const frame = document.createElement('iframe');
    frame.src = ${JSON.stringify(src)};
    document.body.append(frame);
    return new Promise((resolve) => (frame.onload = resolve));
  })()`);
  await loaded;
  const [inner] = page.mainFrame().childFrames();
  const text = await inner?.evaluate<string>('document.body.innerText').catch(() => '');
  return { text: text ?? '', page };
}

describe.each([
  ['path form', undefined],
  ['host form', 'localhost'],
])('in %s', (_form, domain) => {
  let site: Deployment;
  beforeAll(async () => {
    site = await deploy({
      templates: `
templates:
  closed:
    access: token
    open: /app.sh
${PAGE}
  embedded:
    access: token
    open: /app.sh
    embed: ['http://host.localhost:${port}']
${PAGE}
`,
      ...(domain !== undefined && { domain }),
    });
  });
  afterAll(() => site.stop());

  async function make(template: string) {
    const made = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
    expect(made.status).toBe(201);
    return (await made.json()) as { url: string; link: string; accessToken: string };
  }

  test('the frame works on the listed site only, and not without `embed`', async () => {
    const embedded = await make('embedded');
    const shown = await frame('host.localhost', embedded.link);
    expect(shown.text).toBe('inside');
    // The cookie is kept for the frame, without the token in the address.
    const again = await shown.page.evaluate<boolean>(`(() => {
      const frame = document.querySelector('iframe');
      frame.src = ${JSON.stringify(embedded.url)};
      return new Promise((resolve) => (frame.onload = () => resolve(true)));
    })()`);
    expect(again).toBe(true);
    const [inner] = shown.page.mainFrame().childFrames();
    expect(await inner?.evaluate<string>('document.body.innerText')).toBe('inside');
    // The outer page itself cannot use the cookie.
    const fetched = await shown.page.evaluate<string>(
      `fetch(${JSON.stringify(embedded.url)}, { credentials: 'include', mode: 'no-cors' }).then(({ type }) => type, () => 'failed')`,
    );
    expect(['opaque', 'failed']).toContain(fetched);
    // On another site neither the cookie nor the frame exists.
    expect((await frame('other.localhost', embedded.url)).text).not.toContain('inside');
    expect((await frame('other.localhost', embedded.link)).text).not.toContain('inside');
    const closed = await make('closed');
    expect((await frame('host.localhost', closed.link)).text).not.toContain('inside');
    for (const context of browser.contexts()) await context.close();
  });

  test('in a window of its own it works as without `embed`', async () => {
    const { link } = await make('embedded');
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(link);
    expect(await page.innerText('body')).toBe('inside');
    expect((await context.cookies()).map(({ sameSite }) => sameSite)).not.toContain('None');
    await context.close();
  });
});
