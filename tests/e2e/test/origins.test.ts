import { CHROMIUM, waitFor } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';

// Two instances and one visitor with one browser: what the one keeps there, the other must not
// see. Names below `localhost` are secure contexts, so nothing that a page may do is left out.

/** Serves a page; `say.sh?HEADER` answers with that header, and with the cookies that it was sent. */
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

const saying = (url: string, header: string) => `${url}say.sh?${encodeURIComponent(header)}`;

async function make(site: Deployment, template: string) {
  const made = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  expect(made.status).toBe(201);
  return (await made.json()) as { url: string; link?: string };
}

/** An instance of the deployment, by its address. */
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

/** Puts something into every place that a page can keep things in. */
const KEEP = `(async () => {
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

/** Asks for an instance by all that a page can have made as a part of itself. */
const ASK_FOR_ONE = (url: string) => `(async () => {
  for (const method of ['GET', 'POST']) {
    await fetch('${url}', { method, mode: 'no-cors' }).catch(() => undefined);
  }
  for (const name of ['img', 'script', 'iframe']) {
    const part = document.createElement(name);
    const over = new Promise((resolve) => (part.onload = part.onerror = resolve));
    part.src = '${url}';
    document.body.append(part);
    await over;
  }
})()`;

/** Opens a WebSocket, fetches and posts; gives what became of the latter. */
const SPEAK_TO = (url: string) => `(async () => {
  const socket = new WebSocket('${url.replace('http', 'ws')}');
  await new Promise((resolve) => (socket.onopen = socket.onerror = resolve));
  const ask = (method) =>
    fetch('${url}say.sh?X-A:1', { method, mode: 'no-cors', credentials: 'include' });
  return Promise.all(['GET', 'POST'].map((method) => ask(method).then(() => 'answered', () => 'refused')));
})()`;

/** What of it can be seen. */
const SEEN = `(async () => {
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

/** Notes what is said on the channel from now on. */
const LISTEN = `
  globalThis.heard = [];
  new BroadcastChannel('all').onmessage = ({ data }) => heard.push(data);
`;

const NOTHING = {
  local: null,
  session: null,
  caches: [],
  databases: [],
  files: [],
  cookie: '',
  workers: 0,
};

async function startsNone(page: Page, site: Deployment, entrance: string): Promise<void> {
  const before = await count(site);
  await page.evaluate(ASK_FOR_ONE(entrance));
  expect(await count(site)).toBe(before);
  await page.evaluate(`location.href = '${entrance}'`);
  await waitFor('one more', async () => (await count(site)) === before + 1);
  await page.context().close();
}

describe('each instance has its own origin', () => {
  let site: Deployment;
  let text: string;
  let other: string;
  beforeAll(async () => {
    site = await deploy({ templates: TEMPLATES, domain: 'demos.localhost', dashboard: true });
    [text, other] = [await start(site), await start(site)];
  });
  afterAll(() => site.stop());

  test('what one keeps in the browser, no other sees', async () => {
    const context = await browser.newContext();
    const page = await visit(context, text);
    await page.evaluate(KEEP);
    const seen = await page.evaluate(SEEN);
    expect(seen).toMatchObject({ local: 'mine', files: ['secret'], cookie: 'secret=mine' });
    expect(await (await visit(context, other)).evaluate(SEEN)).toEqual(NOTHING);
    await context.close();
  });

  test('a service worker of one answers for no other', async () => {
    const context = await browser.newContext();
    const page = await visit(context, text);
    await page.evaluate(
      `navigator.serviceWorker.register('/worker.sh').then(() => navigator.serviceWorker.ready)`,
    );
    expect(await textOf(page, `${text}anything`)).toBe(`${text}worker.sh`);
    expect(await textOf(page, `${other}say.sh?X-A:1`)).toBe('');
    await context.close();
  });

  test('a channel of one is not heard by another, and no window of it can be looked into', async () => {
    const context = await browser.newContext();
    const [listener, opener] = [await visit(context, other), await visit(context, text)];
    await listener.evaluate(LISTEN);
    const second = await visit(context, text);
    await second.evaluate(LISTEN);
    await opener.evaluate(`new BroadcastChannel('all').postMessage('hello')`);
    await second.waitForFunction('heard.length > 0');
    expect(await listener.evaluate('heard')).toEqual([]);
    const looked = await opener.evaluate(`(async () => {
      const frame = document.createElement('iframe');
      frame.src = '${other}';
      const loaded = new Promise((resolve) => (frame.onload = resolve));
      document.body.append(frame);
      await loaded;
      const read = await fetch('${other}').then(() => 'read', () => 'refused');
      return { inside: frame.contentDocument === null ? 'refused' : 'open', read };
    })()`);
    expect(looked).toEqual({ inside: 'refused', read: 'refused' });
    await context.close();
  });

  // Cookie tossing: one for the whole domain would be sent to every other instance.
  test('a cookie that one sets for the whole domain stays with it', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const toss = 'Set-Cookie: tossed=1; Domain=demos.localhost; Path=/';
    await page.goto(saying(text, toss));
    expect(await textOf(page, `${text}say.sh?X-A:1`)).toBe('tossed=1');
    expect(await textOf(page, `${other}say.sh?X-A:1`)).toBe('');
    await context.close();
  });

  test('two that take the name of the whole domain do not become one origin', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const relaxed = 'Origin-Agent-Cluster: ?0';
    await page.goto(saying(text, relaxed));
    const names = `() => { document.domain = 'demos.localhost'; return originAgentCluster; }`;
    const inside = await page.evaluateHandle(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.onload = () => resolve(frame);
      frame.src = '${saying(other, relaxed)}';
      document.body.append(frame);
    })`);
    const frame = await inside.asElement().contentFrame();
    const keyed = [await page.evaluate(`(${names})()`), await frame?.evaluate(`(${names})()`)];
    const looked = `(() => {
      try { return frames[0].document.URL; } catch (error) { return error.name; }
    })()`;
    expect(await page.evaluate(looked)).toBe('SecurityError');
    expect(keyed).toEqual([true, true]);
    await context.close();
  });

  test('one that clears its site clears no other', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(saying(other, 'Set-Cookie: login=1; Path=/'));
    for (const types of ['"cookies"', '"*"', '"cache", "cookies", "storage"']) {
      await page.goto(saying(text, `Clear-Site-Data: ${types}`));
    }
    expect(await textOf(page, `${other}say.sh?X-A:1`)).toBe('login=1');
    await context.close();
  });

  // Instances are of one site: a browser sends the cookie that opens one with what another asks.
  test('what opens one to its visitor opens it to no page of another', async () => {
    const { url, link = '' } = await make(site, 'guarded');
    const context = await browser.newContext();
    const own = await visit(context, link);
    expect(own.url()).toBe(url);
    const spokenBy = async (page: Page) => {
      const handshake = page.waitForEvent('console', (message) => message.text().includes('ws://'));
      const heard = await page.evaluate<string[]>(SPEAK_TO(url));
      // Its server speaks no WebSocket: that it answers at all shows that it was asked.
      return [/response code: \d+/.exec((await handshake).text())?.[0], ...heard];
    };
    expect(await spokenBy(own)).toEqual(['response code: 200', 'answered', 'answered']);
    const other = await visit(context, text);
    // A browser keeps a problem of ours from pages of other origins.
    expect(await spokenBy(other)).toEqual(['response code: 403', 'refused', 'refused']);
    // But it may lead there.
    const led = other.waitForResponse(url);
    await other.evaluate(`location.href = '${url}'`);
    expect((await led).status()).toBe(200);
    await context.close();
  });

  test('a page of one starts no other, but may lead to where one starts', async () => {
    const { port } = new URL(text);
    const entrance = `http://demos.localhost:${port}/demo/new`;
    await startsNone(await visit(await browser.newContext(), text), site, entrance);
  });

  test('nothing of the control plane is on it', async () => {
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
      // The answer of the instance's own server.
      expect((await page.goto(new URL(path, text).href))?.status(), path).toBe(404);
      expect(await page.content()).toContain('The requested URL was not found');
    }
    await page.close();
  });

  // Where a browser knows the domain for a public suffix, scripts cannot toss cookies either. What
  // has no dot is one by itself.
  test('a script sets a cookie for the whole domain only where it is no public suffix', async () => {
    const tossedBy = async (from: string, to: string, domain: string) => {
      const context = await browser.newContext();
      const page = await visit(context, from);
      await page.evaluate(`document.cookie = 'tossed=1; domain=${domain}; path=/'`);
      const text = await textOf(page, `${to}say.sh?X-A:1`);
      await context.close();
      return text;
    };
    // The limit that docs/SECURITY.md tells of.
    expect(await tossedBy(text, other, 'demos.localhost')).toBe('tossed=1');
    const listed = await deploy({ templates: TEMPLATES, domain: 'localhost' });
    try {
      const [from, to] = [await start(listed), await start(listed)];
      expect(await tossedBy(from, to, 'localhost')).toBe('');
    } finally {
      await listed.stop();
    }
  });
});

describe('instances share an origin', () => {
  let site: Deployment;
  let text: string;
  let base: string;
  beforeAll(async () => {
    site = await deploy({ templates: TEMPLATES, dashboard: true });
    text = await start(site);
    base = (site.dashboardUrl ?? '').replace('127.0.0.1', 'localhost');
  });
  afterAll(() => site.stop());

  async function logIn(page: Page): Promise<void> {
    await page.goto(base);
    await page.getByLabel(/token/i).fill(TOKEN);
    await page.getByRole('button', { name: /log in/i }).click();
    await page.waitForURL(/\/instances/);
  }

  test('a page of one starts no other, but may lead to where one starts', async () => {
    await startsNone(await visit(await browser.newContext(), text), site, '/demo/new');
  });

  test('a service worker is refused', async () => {
    const page = await browser.newPage();
    await page.goto(text);
    const refused = await page.evaluate(
      `navigator.serviceWorker.register('worker.sh').then(() => 'registered', ({ message }) => message)`,
    );
    expect(refused).toContain('403');
    expect((await page.goto(`${text}worker.sh`))?.status()).toBe(200);
    await page.close();
  });

  // Cookies do not tell ports apart: the dashboard's are sent to the public port of the same name.
  test('the session of the dashboard is neither sent to an instance, nor read, nor used by it', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await logIn(page);
    // As broad as cookies can be: what the proxy is there to keep back.
    const [session] = await context.cookies(`${base}/dashboard/instances`);
    expect(session?.httpOnly).toBe(true);
    const { name = '', value = '' } = session ?? {};
    await context.addCookies([
      { name, value, domain: 'localhost', path: '/', httpOnly: true },
      { name: 'own', value: '1', url: text },
    ]);
    expect(await textOf(page, `${text}say.sh?X-A:1`)).toBe('own=1');
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

  test('an instance cannot end the session, nor put another in its place', async () => {
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
        await page.goto(saying(text, `Set-Cookie: ${cookie}`));
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
