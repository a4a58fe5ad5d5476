import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '@ephemera/client';
import { buildTestImage, demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { docker } from './docker-cli.ts';

// A creation names its image, where the template allows it.

const IMAGE = 'ephemera-e2e/named:1';

let context: string;
let site: Deployment;
beforeAll(async () => {
  context = await mkdtemp(join(tmpdir(), 'ephemera-named-'));
  const lines = [
    'FROM ephemera/demo',
    'COPY id /site/id',
    'CMD ["httpd", "-f", "-p", "8080", "-h", "/site"]',
  ];
  await writeFile(join(context, 'Dockerfile'), lines.join('\n'));
  await writeFile(join(context, 'id'), IMAGE);
  await buildTestImage(IMAGE, context);
  const times = { timeout: '5m', maxTimeout: '10m' };
  site = await deploy({
    templates: `
default: preview
images: { allow: ['ephemera/*', '${IMAGE}'] }
templates:
  preview: ${demoTemplate({ ...times, pool: 1, imageAllow: ['ephemera-e2e/named:*'] })}
  fixed: ${demoTemplate(times)}
`,
  });
});
afterAll(async () => {
  await site.stop();
  await docker('rmi', IMAGE);
  await rm(context, { recursive: true });
});

interface Shown {
  readonly id: string;
  readonly image?: string;
  readonly status: { readonly state: string };
}

const post = (body: object, headers: Record<string, string> = {}) =>
  site.api('POST', '/v1/instances', body, { prefer: 'wait=60', ...headers });
const served = async (reference: string) =>
  (await fetch(`${site.publicUrls[0]}/demo/${reference}/id`)).text();

async function warmCount(): Promise<number> {
  const { items } = (await (await site.api('GET', '/v1/instances')).json()) as { items: Shown[] };
  return items.filter(({ status }) => status.state === 'warm').length;
}

test('an instance runs the image that its creation names, and is never a warm one', async () => {
  await waitFor('a full pool', async () => (await warmCount()) === 1);
  const answer = await post({ image: IMAGE });
  expect(answer.status).toBe(201);
  const named = (await answer.json()) as Shown;
  expect(named.image).toBe(IMAGE);
  expect(await served(named.id)).toBe(IMAGE);
  expect(await warmCount()).toBe(1);

  const plain = (await (await post({ image: 'ephemera/demo' })).json()) as Shown;
  expect(plain.image).toBeUndefined();
  expect(await served(plain.id)).toBe(plain.id);
});

test('a name can lead to another image with each replacement', async () => {
  const { names, templates } = createClient({ url: site.adminUrls[0] ?? '', token: TOKEN });
  const first = await names.put('image', { image: IMAGE });
  expect(await served('@image')).toBe(IMAGE);
  expect((await names.get('image')).instance?.image).toBe(IMAGE);
  const second = await names.put('image', { drain: 0 }, { ifMatch: first.generation });
  expect(await served('@image')).toBe(second.id);
  const [preview, fixed] = await templates();
  expect(preview?.imageAllow).toEqual(['ephemera-e2e/named:*']);
  expect(fixed).not.toHaveProperty('imageAllow');
});

test.each([
  [
    'another image',
    { image: 'redis:7' },
    /redis:7.*matches no pattern of imageAllow.*-e2e\/named:\*/,
  ],
  [
    'one that the policy refuses',
    { image: 'ephemera-e2e/named:2' },
    /images\.allow: ephemera\/\*, /,
  ],
  [
    'one in a template without a list',
    { template: 'fixed', image: IMAGE },
    /fixed allows no other/,
  ],
  ['the id of an image', { image: `sha256:${'a'.repeat(64)}` }, /an id is none/],
  ['a path of the Docker API', { image: 'ephemera-e2e/named:1/json?a=b' }, /image.*not the name/],
  ['no text', { image: 1 }, /image/],
])('%s is refused with 400, and the refusal says what is allowed', async (_, body, reason) => {
  const answer = await post(body);
  expect(answer.status).toBe(400);
  expect(await answer.text()).toMatch(reason);
});

test('the image belongs to what an idempotency key stands for', async () => {
  const key = { 'idempotency-key': 'named-image' };
  const { id } = (await (await post({ image: IMAGE }, key)).json()) as Shown;
  expect(((await (await post({ image: IMAGE }, key)).json()) as Shown).id).toBe(id);
  expect((await post({}, key)).status).toBe(422);
});

test('a visitor cannot choose an image', async () => {
  const query = new URLSearchParams({ image: IMAGE, redirect: '0' });
  const id = (
    await (await fetch(`${site.publicUrls[0]}/demo/new?${query.toString()}`)).text()
  ).trim();
  expect(await served(id)).toBe(id);
});

test('the command line names an image', async () => {
  const main = join(import.meta.dirname, '../../../apps/cli/src/main.ts');
  const ephemera = async (...words: string[]): Promise<string> => {
    const env = {
      PATH: process.env['PATH'],
      EPHEMERA_ADMIN_URL: site.adminUrls[0],
      EPHEMERA_ADMIN_TOKEN: TOKEN,
    };
    return (await promisify(execFile)(process.execPath, [main, ...words], { env })).stdout;
  };
  const id = (await ephemera('run', 'preview', '--image', IMAGE, '--quiet')).trim();
  expect(await served(id)).toBe(IMAGE);
  await ephemera('name', 'put', 'line', 'preview', '--image', IMAGE, '--if-none-match');
  expect(await served('@line')).toBe(IMAGE);
  await expect(
    ephemera('name', 'put', 'line', 'preview', '--image', IMAGE, '--if-none-match'),
  ).rejects.toMatchObject({ code: 1 });
});
