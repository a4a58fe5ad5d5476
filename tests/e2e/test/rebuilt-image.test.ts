import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildTestImage, demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf, docker } from './docker-cli.ts';

// An image is built again under the same tag while a pool of warm instances is full.

const TAG = 'ephemera-e2e/rebuilt';
const POOL = 3;

let context: string;
let oldImage: string;
let site: Deployment;

beforeAll(async () => {
  context = await mkdtemp(join(tmpdir(), 'ephemera-rebuilt-'));
  oldImage = await build('old');
  const ready = { http: '/version', within: '30s' };
  const pooled = demoTemplate({ image: TAG, ready, timeout: '60s', maxTimeout: '10m', pool: POOL });
  site = await deploy({ templates: `templates: { pooled: ${pooled} }` });
});
afterAll(async () => {
  await site.stop();
  // The build could not remove the old image, because containers used it.
  await docker('rmi', TAG, oldImage);
  await rm(context, { recursive: true });
});

async function build(version: string): Promise<string> {
  const lines = [
    'FROM ephemera/demo',
    'COPY version /site/version',
    'CMD ["httpd", "-f", "-p", "8080", "-h", "/site"]',
  ];
  await writeFile(join(context, 'Dockerfile'), lines.join('\n'));
  await writeFile(join(context, 'version'), version);
  await buildTestImage(TAG, context);
  const [id = ''] = await docker('image', 'inspect', '--format', '{{.Id}}', TAG);
  return id;
}

interface Shown {
  readonly id: string;
  readonly status: { readonly state: string };
}

async function list(): Promise<readonly Shown[]> {
  const { items } = (await (await site.api('GET', '/v1/instances')).json()) as { items: Shown[] };
  return items;
}

async function warmCount(): Promise<number> {
  return (await list()).filter(({ status }) => status.state === 'warm').length;
}

async function claim(): Promise<{ readonly id: string; readonly version: string }> {
  const made = (await (await site.api('POST', '/v1/instances', {})).json()) as Shown;
  const answer = await fetch(`${site.publicUrls[0]}/demo/${made.id}/version`);
  return { id: made.id, version: await answer.text() };
}

/** The ids of the images of all containers, without those that are just being removed. */
async function imagesInUse(): Promise<string[]> {
  const containers = await containersOf(site.namespace);
  if (containers.length === 0) return [];
  return docker('inspect', '--format', '{{.Image}}', ...containers).catch(() => []);
}

test('the warm instances of the old image are replaced, the claimed one stays', async () => {
  await waitFor('a full pool', async () => (await warmCount()) === POOL);
  const used = await claim();
  expect(used.version).toBe('old');
  await waitFor('a full pool', async () => (await warmCount()) === POOL);

  const rebuilt = await build('new');
  let fewest = POOL;
  await waitFor(
    'a pool of the new image',
    async () => {
      const warm = await warmCount();
      fewest = Math.min(fewest, warm);
      const images = await imagesInUse();
      return warm === POOL && images.filter((image) => image === rebuilt).length === POOL;
    },
    50_000,
  );
  expect(fewest).toBeGreaterThan(0);
  expect((await claim()).version).toBe('new');
  const kept = await fetch(`${site.publicUrls[0]}/demo/${used.id}/version`);
  expect(await kept.text()).toBe('old');
}, 90_000);
