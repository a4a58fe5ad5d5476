import { CHROMIUM, waitFor } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';

// Tests the isolation of two instances in the browser of one visitor. Names under `localhost` are
// secure contexts, so all web platform features are available.

/**
 * Serves a page. `say.sh?HEADER` responds with that header, and with the cookies of the request as
 * its body.
 */
const PAGE = `    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    limits: { memory: 64m }
    readOnly: true
    tmpfs: { /tmp: 8m }
    command:
      - /bin/sh
      - -c
      - |
        mkdir /tmp/www; cd /tmp/www
        echo '<!doctype html><title>page</title>' > index.html
        echo 'printf "Content-Type: text/html\\r\\n$(httpd -d "$QUERY_STRING")\\r\\n\\r\\n$HTTP_COOKIE"' > say.sh
        echo 'printf "Content-Type: text/javascript\\r\\n\\r\\nonfetch = (e) => e.respondWith(new Response(location.href))"' > worker.sh
        echo '*.sh:/bin/sh' > /tmp/httpd.conf
        exec httpd -f -p {port} -h /tmp/www -c /tmp/httpd.conf`;
const TEMPLATES = `
default: page
templates:
  page:
${PAGE}
  guarded:
    access: token
${PAGE}
`;

let browser: Browser;
beforeAll(async () => {
  browser = await chromium.launch(CHROMIUM);
});
afterAll(() => browser.close());

const withHeader = (url: string, header: string) => `${url}say.sh?${encodeURIComponent(header)}`;

async function make(site: Deployment, template: string) {
  const made = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  expect(made.status).toBe(201);
  return (await made.json()) as { url: string; link?: string };
}

/** Starts an instance and returns its URL. */
const start = async (site: Deployment) => (await make(site, 'page')).url;

async function count(site: Deployment): Promise<number> {
  const { items } = (await (await site.api('GET', '/v1/instances')).json()) as { items: [] };
  return items.length;
}

async function visit(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

const textOf = async (page: Page, url: string) => {
  await page.goto(url);
  return page.evaluate<string>('document.body.innerText');
};

/** Stores data in every kind of storage that a page can use. */
const WRITE_STORAGE = `(async () => {
  localStorage.setItem('secret', 'mine');
  sessionStorage.setItem('secret', 'mine');
  await (await caches.open('secret')).put('/secret', new Response('mine'));
  await new Promise((resolve, reject) => {
    const request = indexedDB.open('secret', 1);
    request.onsuccess = resolve;
    request.onerror = reject;
  });
  const root = await navigator.storage.getDirectory();
  await root.getFileHandle('secret', { create: true });
  document.cookie = 'secret=mine';
})()`;

/** Requests a URL with fetch and as every kind of subresource. */
const REQUEST_SUBRESOURCES = (url: string) => `(async () => {
  for (const method of ['GET', 'POST']) {
    await fetch('${url}', { method, mode: 'no-cors' }).catch(() => undefined);
  }
  for (const name of ['img', 'script', 'iframe']) {
    const part = document.createElement(name);
    const settled = new Promise((resolve) => (part.onload = part.onerror = resolve));
    part.src = '${url}';
    document.body.append(part);
    await settled;
  }
})()`;

/** Opens a WebSocket and sends GET and POST requests. Returns the results of the requests. */
const SEND_REQUESTS = (url: string) => `(async () => {
  const socket = new WebSocket('${url.replace('http', 'ws')}');
  await new Promise((resolve) => (socket.onopen = socket.onerror = resolve));
  const ask = (method) =>
    fetch('${url}say.sh?X-A:1', { method, mode: 'no-cors', credentials: 'include' });
  return Promise.all(['GET', 'POST'].map((method) => ask(method).then(() => 'answered', () => 'refused')));
})()`;

/** Reads all kinds of storage. */
const READ_STORAGE = `(async () => {
  const root = await navigator.storage.getDirectory();
  const files = [];
  for await (const [name] of root) files.push(name);
  return {
    local: localStorage.getItem('secret'),
    session: sessionStorage.getItem('secret'),
    caches: await caches.keys(),
    databases: (await indexedDB.databases()).map(({ name }) => name),
    files,
    cookie: document.cookie,
    workers: (await navigator.serviceWorker.getRegistrations()).length,
  };
})()`;

/** Records the messages of a broadcast channel. */
const RECORD_MESSAGES = `
  globalThis.messages = [];
  new BroadcastChannel('all').onmessage = ({ data }) => messages.push(data);
`;

const EMPTY_STORAGE = {
  local: null,
  session: null,
  caches: [],
  databases: [],
  files: [],
  cookie: '',
  workers: 0,
};

async function expectStartByNavigationOnly(
  page: Page,
  site: Deployment,
  launchPage: string,
): Promise<void> {
  const before = await count(site);
  await page.evaluate(REQUEST_SUBRESOURCES(launchPage));
  expect(await count(site)).toBe(before);
  await page.evaluate(`location.href = '${launchPage}'`);
  await waitFor('another instance', async () => (await count(site)) === before + 1);
  await page.context().close();
}

describe('instances with separate origins', () => {
  let site: Deployment;
  let instance: string;
  let other: string;
  beforeAll(async () => {
    site = await deploy({ templates: TEMPLATES, domain: 'demos.localhost', dashboard: true });
    [instance, other] = [await start(site), await start(site)];
  });
  afterAll(() => site.stop());

  test('an instance cannot read the stored data of another', async () => {
    const context = await browser.newContext();
    const page = await visit(context, instance);
    await page.evaluate(WRITE_STORAGE);
    const seen = await page.evaluate(READ_STORAGE);
    expect(seen).toMatchObject({ local: 'mine', files: ['secret'], cookie: 'secret=mine' });
    expect(await (await visit(context, other)).evaluate(READ_STORAGE)).toEqual(EMPTY_STORAGE);
    await context.close();
  });

  test('a service worker of one instance does not handle requests of another', async () => {
    const context = await browser.newContext();
    const page = await visit(context, instance);
    await page.evaluate(
      `navigator.serviceWorker.register('/worker.sh').then(() => navigator.serviceWorker.ready)`,
    );
    expect(await textOf(page, `${instance}anything`)).toBe(`${instance}worker.sh`);
    expect(await textOf(page, `${other}say.sh?X-A:1`)).toBe('');
    await context.close();
  });

  test('an instance cannot receive broadcasts or access frames of another', async () => {
    const context = await browser.newContext();
    const [listener, opener] = [await visit(context, other), await visit(context, instance)];
    await listener.evaluate(RECORD_MESSAGES);
    const second = await visit(context, instance);
    await second.evaluate(RECORD_MESSAGES);
    await opener.evaluate(`new BroadcastChannel('all').postMessage('hello')`);
    await second.waitForFunction('messages.length > 0');
    expect(await listener.evaluate('messages')).toEqual([]);
    const access = await opener.evaluate(`(async () => {
      const frame = document.createElement('iframe');
      frame.src = '${other}';
      const loaded = new Promise((resolve) => (frame.onload = resolve));
      document.body.append(frame);
      await loaded;
      const read = await fetch('${other}').then(() => 'read', () => 'refused');
      return { inside: frame.contentDocument === null ? 'refused' : 'open', read };
    })()`);
    expect(access).toEqual({ inside: 'refused', read: 'refused' });
    await context.close();
  });

  // Cookie tossing: a cookie for the whole domain would be sent to all other instances.
  test('a Set-Cookie header for the whole domain affects only its instance', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const toss = 'Set-Cookie: tossed=1; Domain=demos.localhost; Path=/';
    await page.goto(withHeader(instance, toss));
    expect(await textOf(page, `${instance}say.sh?X-A:1`)).toBe('tossed=1');
    expect(await textOf(page, `${other}say.sh?X-A:1`)).toBe('');
    await context.close();
  });

  test('two instances that set document.domain do not share an origin', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const relaxed = 'Origin-Agent-Cluster: ?0';
    await page.goto(withHeader(instance, relaxed));
    const names = `() => { document.domain = 'demos.localhost'; return originAgentCluster; }`;
    const inside = await page.evaluateHandle(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.onload = () => resolve(frame);
      frame.src = '${withHeader(other, relaxed)}';
      document.body.append(frame);
    })`);
    const frame = await inside.asElement().contentFrame();
    const keyed = [await page.evaluate(`(${names})()`), await frame?.evaluate(`(${names})()`)];
    const access = `(() => {
      try { return frames[0].document.URL; } catch (error) { return error.name; }
    })()`;
    expect(await page.evaluate(access)).toBe('SecurityError');
    expect(keyed).toEqual([true, true]);
    await context.close();
  });

  test('Clear-Site-Data of one instance does not affect another', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(withHeader(other, 'Set-Cookie: login=1; Path=/'));
    for (const types of ['"cookies"', '"*"', '"cache", "cookies", "storage"']) {
      await page.goto(withHeader(instance, `Clear-Site-Data: ${types}`));
    }
    expect(await textOf(page, `${other}say.sh?X-A:1`)).toBe('login=1');
    await context.close();
  });

  // The instances are same-site: a browser sends the access cookie of one with requests from pages
  // of another.
  test('the access cookie of one instance does not authorize requests from pages of another', async () => {
    const { url, link = '' } = await make(site, 'guarded');
    const context = await browser.newContext();
    const own = await visit(context, link);
    expect(own.url()).toBe(url);
    const responsesTo = async (page: Page) => {
      const handshake = page.waitForEvent('console', (message) => message.text().includes('ws://'));
      const results = await page.evaluate<string[]>(SEND_REQUESTS(url));
      // The demo does not support WebSocket. Any response shows that the request reached it.
      return [/response code: \d+/.exec((await handshake).text())?.[0], ...results];
    };
    expect(await responsesTo(own)).toEqual(['response code: 200', 'answered', 'answered']);
    const other = await visit(context, instance);
    // The 403 response of the proxy is not readable from another origin.
    expect(await responsesTo(other)).toEqual(['response code: 403', 'refused', 'refused']);
    // A navigation from another instance is allowed.
    const led = other.waitForResponse(url);
    await other.evaluate(`location.href = '${url}'`);
    expect((await led).status()).toBe(200);
    await context.close();
  });

  test('a page of an instance can start another only by a navigation', async () => {
    const { port } = new URL(instance);
    const launchPage = `http://demos.localhost:${port}/demo/new`;
    await expectStartByNavigationOnly(
      await visit(await browser.newContext(), instance),
      site,
      launchPage,
    );
  });

  test('an instance origin does not serve the control plane', async () => {
    const paths = ['/v1/instances', '/openapi.json', '/metrics', '/readyz', '/healthz'];
    const page = await browser.newPage();
    await page.setExtraHTTPHeaders({ authorization: `Bearer ${TOKEN}` });
    for (const path of [
      ...paths,
      '/dashboard',
      '/dashboard/queues',
      '/dashboard/login',
      '/demo/new',
      '/demo',
    ]) {
      // The response comes from the server of the instance.
      expect((await page.goto(new URL(path, instance).href))?.status(), path).toBe(404);
      expect(await page.content()).toContain('The requested URL was not found');
    }
    await page.close();
  });

  // If the domain is a public suffix, browsers also refuse such cookies from scripts. A name
  // without a dot is a public suffix by default.
  test('a script can set a cookie for the whole domain only if the domain is no public suffix', async () => {
    const tossedBy = async (from: string, to: string, domain: string) => {
      const context = await browser.newContext();
      const page = await visit(context, from);
      await page.evaluate(`document.cookie = 'tossed=1; domain=${domain}; path=/'`);
      const text = await textOf(page, `${to}say.sh?X-A:1`);
      await context.close();
      return text;
    };
    // A limitation that docs/SECURITY.md describes.
    expect(await tossedBy(instance, other, 'demos.localhost')).toBe('tossed=1');
    const listed = await deploy({ templates: TEMPLATES, domain: 'localhost' });
    try {
      const [from, to] = [await start(listed), await start(listed)];
      expect(await tossedBy(from, to, 'localhost')).toBe('');
    } finally {
      await listed.stop();
    }
  });
});

describe('instances on a shared origin', () => {
  let site: Deployment;
  let instance: string;
  let base: string;
  beforeAll(async () => {
    site = await deploy({ templates: TEMPLATES, dashboard: true });
    instance = await start(site);
    base = (site.dashboardUrl ?? '').replace('127.0.0.1', 'localhost');
  });
  afterAll(() => site.stop());

  async function logIn(page: Page): Promise<void> {
    await page.goto(base);
    await page.getByLabel(/token/i).fill(TOKEN);
    await page.getByRole('button', { name: /log in/i }).click();
    await page.waitForURL(/\/instances/);
  }

  test('a page of an instance can start another only by a navigation', async () => {
    await expectStartByNavigationOnly(
      await visit(await browser.newContext(), instance),
      site,
      '/demo/new',
    );
  });

  test('a service worker is refused', async () => {
    const page = await browser.newPage();
    await page.goto(instance);
    const refused = await page.evaluate(
      `navigator.serviceWorker.register('worker.sh').then(() => 'registered', ({ message }) => message)`,
    );
    expect(refused).toContain('403');
    expect((await page.goto(`${instance}worker.sh`))?.status()).toBe(200);
    await page.close();
  });

  // Cookies are not separated by port: the cookies of the dashboard are also sent to the public
  // port on the same host name.
  test('an instance cannot receive, read or use the dashboard session', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await logIn(page);
    // The broadest possible scope of the session cookie. The proxy must remove it from requests to
    // instances.
    const [session] = await context.cookies(`${base}/dashboard/instances`);
    expect(session?.httpOnly).toBe(true);
    const { name = '', value = '' } = session ?? {};
    await context.addCookies([
      { name, value, domain: 'localhost', path: '/', httpOnly: true },
      { name: 'own', value: '1', url: instance },
    ]);
    expect(await textOf(page, `${instance}say.sh?X-A:1`)).toBe('own=1');
    expect(await page.evaluate('document.cookie')).toBe('own=1');
    const used = await page.evaluate(
      (target) =>
        fetch(`${target}/dashboard/instances`, { credentials: 'include' }).then(
          () => 'read',
          () => 'refused',
        ),
      base,
    );
    expect(used).toBe('refused');
    await context.close();
  });

  test('an instance cannot delete or replace the dashboard session', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const overwrite = async () => {
      for (const path of [
        '/',
        '/dashboard',
        '/dashboard/',
        '/dashboard/instances',
        '/dashboard/queues/api',
      ]) {
        const cookie = `ephemera-dashboard=forged; path=${path}`;
        await page.goto(withHeader(instance, `Set-Cookie: ${cookie}`));
        await page.evaluate(`document.cookie = '${cookie}'`);
      }
    };
    await overwrite();
    await logIn(page);
    await overwrite();
    expect((await page.goto(`${base}/dashboard/instances`))?.status()).toBe(200);
    expect(page.url()).toBe(`${base}/dashboard/instances`);
    const board = await page.evaluate(
      async () => (await fetch('/dashboard/queues/api/queues')).status,
    );
    expect(board).toBe(200);
    await context.close();
  });
});
