import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// Where a person opens an instance, what visitors read about its template, and what links say.

const TEMPLATES = `
default: plain
templates:
  plain: { image: a, port: 80 }
  lab:
    image: a
    ports: { web: 8888, api: 9000 }
    title: Data lab <1>
    description: 'Notebooks & data'
    open: '/lab?path={basePath}'
  guarded: { image: a, port: 80, access: token, open: '/lab?a=1#top', embed: ['https://host.example'] }
  preview: { image: a, port: 80, imageAllow: ['ghcr.io/acme/app:*'] }
  secret: { image: a, port: 80, env: { KEY: '{token}' }, open: '/?key={token}' }
  invited: { image: a, port: 80, create: link, title: Course, open: /course }
  worked: { image: a, port: 80, proofOfWork: 4, title: Worked }
`;
const PAGE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

let pathForm: OpenPorts;
let hostForm: OpenPorts;

beforeAll(async () => {
  pathForm = await openPorts(TEMPLATES);
  hostForm = await openPorts(TEMPLATES, { domain: 'demos.example' });
});
afterAll(async () => {
  for (const ports of [pathForm, hostForm]) {
    await ports.stop();
    expect(ports.bugs).toEqual([]);
  }
});

const start = (query: string, ports = pathForm, init: RequestInit = {}) =>
  fetch(`${ports.publicUrl}/demo/new?${query}`, { redirect: 'manual', ...init });

async function api(method: string, path: string, body?: object, ports = pathForm) {
  const response = await fetch(`${ports.adminUrl}/v1${path}`, {
    method,
    headers: { ...BEARER, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Opens a page like a browser. `fetch` does not send such headers. */
function open(target: string, host = '127.0.0.1', ports = pathForm) {
  return new Promise<{ status: number | undefined; text: string; policy: string[] }>(
    (resolve, reject) => {
      const { port } = new URL(ports.publicUrl);
      const request = httpRequest(
        { port, path: target, headers: { ...PAGE, host } },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => {
            const policy = String(response.headers['content-security-policy']).split('; ');
            resolve({ status: response.statusCode, text, policy });
          });
        },
      );
      request.on('error', reject).end();
    },
  );
}

describe('a start leads', () => {
  test('to the base address without a landing path', async () => {
    const answer = await start('');
    expect(answer.headers.get('location')).toMatch(/^\/demo\/[a-z0-9]{26}\/$/);
  });

  test('to `open` of the template in path form', async () => {
    const location = (await start('template=lab')).headers.get('location') ?? '';
    expect(location).toMatch(/^(\/demo\/[a-z0-9]{26})\/lab\?path=\1$/);
  });

  test('to `open` of the template in host form', async () => {
    const location = (await start('template=lab', hostForm)).headers.get('location') ?? '';
    expect(location).toMatch(/^http:\/\/[a-z0-9]{26}\.demos\.example\/lab\?path=$/);
  });

  test.each(['GET', 'POST'])('to `path` of a %s, which wins over `open`', async (method) => {
    const query = `template=lab&path=${encodeURIComponent('/tree/ä b?x={id}#y')}`;
    for (const [ports, base] of [
      [pathForm, '/demo/ID'],
      [hostForm, 'http://ID.demos.example'],
    ] as const) {
      const answer = await start(query, ports, { method });
      expect(answer.status).toBe(method === 'GET' ? 307 : 303);
      const location = answer.headers.get('location')?.replace(/[a-z0-9]{26}/, 'ID');
      expect(location).toBe(`${base}/tree/%C3%A4%20b?x={id}#y`);
    }
  });

  test('in host form through the link with the access token, with the query and the fragment', async () => {
    const location = (await start('template=guarded', hostForm)).headers.get('location') ?? '';
    expect(location).toMatch(
      /^http:\/\/[a-z0-9]{26}\.demos\.example\/lab\?a=1&ephemera-token=[\w-]{43}#top$/,
    );
  });

  test('with the secret that the container has, for the client that started it only', async () => {
    const location = (await start('template=secret')).headers.get('location') ?? '';
    const [, id = '', key = ''] = /^\/demo\/([a-z0-9]{26})\/\?key=(.+)$/.exec(location) ?? [];
    expect(key.length).toBeGreaterThan(16);
    const base = `http://127.0.0.1/demo/${id}/`;
    expect((await api('GET', `/instances/${id}`)).body).toMatchObject({ url: base, baseUrl: base });
    const made = await api('POST', '/instances', { template: 'secret' });
    expect(made.body['url']).toBe(
      `${String(made.body['baseUrl'])}?key=${String(made.body['token'])}`,
    );
  });

  test('nowhere with a path that could lead elsewhere', async () => {
    for (const path of [
      '',
      'lab',
      '//evil.example',
      '/\\evil.example',
      '/%2fevil.example',
      '/%5Cevil.example',
      '/\t/evil.example',
      '/\n/evil.example',
      '/a/../../new',
      '/%2e%2e/new',
      '/a\\..\\..\\new',
      'https://evil.example/',
    ]) {
      for (const ports of [pathForm, hostForm]) {
        const answer = await start(`path=${encodeURIComponent(path)}`, ports);
        expect([path, answer.status]).toEqual([path, 400]);
        expect(answer.headers.get('location')).toBeNull();
        const { detail } = (await answer.json()) as { detail: string };
        expect(detail).toMatch(/^query parameter path: must /);
      }
      const made = await api('POST', '/instances', { path });
      expect([path, made.status]).toEqual([path, 400]);
      expect((await api('POST', '/links', { path })).status).toBe(400);
    }
  });
});

test('the API has the landing address, the base address and the ports', async () => {
  for (const [ports, base, apiUrl] of [
    [pathForm, 'http://127.0.0.1/demo/ID/', 'http://127.0.0.1/demo/ID:api/'],
    [hostForm, 'http://ID.demos.example/', 'http://api-ID.demos.example/'],
  ] as const) {
    const { body } = await api('POST', '/instances', { template: 'lab', path: '/tree' }, ports);
    const id = String(body['id']);
    const own = (text: string) => text.replace('ID', id);
    const expected = {
      url: `${own(base)}tree`,
      baseUrl: own(base),
      ports: {
        web: { port: 8888, url: own(base) },
        api: { port: 9000, url: own(apiUrl) },
      },
    };
    expect(body).toMatchObject(expected);
    expect((await api('GET', `/instances/${id}`, undefined, ports)).body).toMatchObject(expected);
    const guarded = await api('POST', '/instances', { template: 'guarded', path: '/x?y#z' }, ports);
    const { baseUrl, accessToken, link } = guarded.body as Record<string, string>;
    expect(link).toBe(`${baseUrl}x?y&ephemera-token=${accessToken}#z`);
  }
});

test('the waiting page keeps the path, and shows the title instead of the name', async () => {
  for (const [ports, isHost] of [
    [pathForm, false],
    [hostForm, true],
  ] as const) {
    for (const [template, shown] of [
      ['lab', 'Starting Data lab &lt;1&gt;'],
      ['plain', 'Starting the instance'],
    ] as const) {
      const location = (await start(`template=${template}&path=/tree?a`, ports)).headers.get(
        'location',
      );
      const url = new URL(location ?? '', 'http://127.0.0.1');
      expect(url.pathname + url.search).toMatch(/\/tree\?a$/);
      // The page reloads the address at which it is shown.
      const { text } = await open(
        url.pathname + url.search,
        isHost ? url.host : '127.0.0.1',
        ports,
      );
      expect(text).toContain(shown);
      expect(text).not.toContain(template === 'lab' ? '>lab<' : 'plain');
    }
  }
});

test('the list of templates has titles and descriptions', async () => {
  const { body } = await api('GET', '/templates');
  const items = body['items'] as Record<string, unknown>[];
  expect(items.find(({ name }) => name === 'lab')).toMatchObject({
    title: 'Data lab <1>',
    description: 'Notebooks & data',
  });
  expect(items.find(({ name }) => name === 'plain')).not.toHaveProperty('title');
});

describe('a signed link', () => {
  async function link(body: object) {
    const made = await api('POST', '/links', { template: 'invited', ...body });
    return new URL(String(made.body['url'])).search.slice(1);
  }

  test('keeps its path on the page with the button and in the redirect', async () => {
    const query = await link({ path: '/week?n=2', uses: 2 });
    const { text: page, policy } = await open(`/demo/new?${query}`);
    expect(page).toContain('<h1>Course</h1>');
    // A page with a button must not be framed (clickjacking).
    expect(page).toContain('<button>');
    expect(policy).toContain("frame-ancestors 'none'");
    expect(page).not.toContain('invited');
    const [, action = ''] = /action="([^"]+)"/.exec(page) ?? [];
    const posted = await fetch(pathForm.publicUrl + action.replaceAll('&amp;', '&'), {
      method: 'POST',
      redirect: 'manual',
    });
    expect(posted.headers.get('location')).toMatch(/\/week\?n=2$/);
    expect((await start(await link({}))).headers.get('location')).toMatch(/\/course$/);
    // A visitor may open another page of the instance.
    expect((await start(`${await link({})}&path=/other`)).headers.get('location')).toMatch(
      /\/other$/,
    );
  });

  test('says that it is exhausted instead of showing its button', async () => {
    const query = await link({ uses: 1 });
    const asked = () => open(`/demo/new?${query}`);
    const fresh = await asked();
    expect(fresh.status).toBe(200);
    expect(fresh.text).toContain('<button>');
    expect((await start(query)).status).toBe(307);
    const { status, text } = await asked();
    expect(status).toBe(403);
    expect(text).toContain('This link has already started its maximum number of instances.');
    expect(text).not.toContain('<button>');
  });
});

test('the page with a proof of work shows the title', async () => {
  const { text: page, policy } = await open('/demo/new?template=worked&path=/x');
  expect(policy).toContain("frame-ancestors 'none'");
  expect(page).toContain('<h1>Worked</h1>');
  expect(page).toContain('action="/demo/new?template=worked&amp;path=%2Fx"');
});

test('an ended instance can be started again without the name of its template', async () => {
  const created = async (template: string) => {
    const { body } = await api('POST', '/instances', { template, path: '/tree' });
    return String(body['id']);
  };
  const again = async (id: string, more = '') =>
    (await start(`again=${id}${more}`)).headers.get('location') ?? '';
  const BASE = /^\/demo\/[a-z0-9]{26}\/$/;
  const id = await created('lab');
  // It has not ended.
  expect(await again(id)).toMatch(BASE);
  await api('DELETE', `/instances/${id}`);
  expect(await again(id)).toMatch(/^\/demo\/[a-z0-9]{26}\/tree$/);
  expect(await again(id, '&template=plain')).toMatch(BASE);
  for (const unknown of ['a'.repeat(26), '..', '']) expect(await again(unknown)).toMatch(BASE);
  // The path of a guarded instance may contain a secret.
  const guarded = await created('guarded');
  await api('DELETE', `/instances/${guarded}`);
  expect(await again(guarded)).not.toContain('/tree');
});

test('the page of an ended instance starts no other image than that of the instance', async () => {
  const pageOf = async (more: object) => {
    const { body } = await api('POST', '/instances', { template: 'preview', ...more });
    expect(body).toMatchObject({ template: 'preview' });
    await api('DELETE', `/instances/${String(body['id'])}`);
    const read = async () => (await open(`/demo/-/${String(body['id'])}`)).text;
    await expect.poll(read, { timeout: 10_000 }).toContain('<h1>This instance has ended</h1>');
    return await read();
  };
  expect(await pageOf({})).toContain('Start another');
  expect(await pageOf({ image: 'ghcr.io/acme/app:1' })).not.toContain('Start another');
});
