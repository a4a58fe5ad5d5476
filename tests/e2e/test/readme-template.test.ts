import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { buildTestImage, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildExample } from '../src/examples/example.ts';
import { deploy, type Deployment } from './deployment.ts';

// The template of the README, as it is printed there. Its image comes from a registry, so Debian's
// Jupyter Notebook takes its place, with the start script that the template calls.

const README = join(import.meta.dirname, '../../../README.md');
const PUBLISHED = 'jupyter/minimal-notebook';
const LOCAL = 'ephemera-e2e/minimal-notebook';
const START = 'exec jupyter notebook --ip=0.0.0.0 --no-browser "$@"';

let site: Deployment | undefined;

beforeAll(async () => {
  const templates = await readmeTemplates();
  await buildNotebook();
  site = await deploy({ templates: templates.replace(PUBLISHED, LOCAL) });
  await site.startProxy({ domain: 'localhost' });
}, 900_000);
afterAll(() => site?.stop());

/** The configuration file in the README that has the notebook. */
async function readmeTemplates(): Promise<string> {
  const blocks = (await readFile(README, 'utf8')).matchAll(/^```yaml\n(.*?)^```$/gms);
  const [found = ''] = Array.from(blocks, ([, block = '']) => block).filter((block) =>
    block.includes(`image: ${PUBLISHED}\n`),
  );
  expect(found).not.toBe('');
  // The excerpt names the default of the shipped file, which it extends.
  return found.replace(/^default: .*\n/, '');
}

async function buildNotebook(): Promise<void> {
  await buildExample('jupyter');
  const context = await mkdtemp(join(tmpdir(), 'ephemera-readme-'));
  try {
    await writeFile(join(context, 'start-notebook.sh'), `#!/bin/sh\n${START}\n`, { mode: 0o755 });
    const lines = [
      'FROM ephemera-examples/jupyter',
      'COPY start-notebook.sh /usr/local/bin/',
      'ENTRYPOINT []',
      'CMD ["start-notebook.sh"]',
    ];
    await writeFile(join(context, 'Dockerfile'), lines.join('\n'));
    await buildTestImage(LOCAL, context);
  } finally {
    await rm(context, { recursive: true });
  }
}

test.each([
  ['path', 0],
  ['host', 1],
])(
  'the template of the README starts, and serves its notebook in %s form',
  async (_, replica) => {
    if (!site) throw new Error('the deployment did not start');
    const { api, publicUrls } = site;
    const id = await (await fetch(`${publicUrls[replica]}/demo/new?redirect=0`)).text();
    const { url, status } = await waitFor(`the start of ${id}`, async () => {
      const instance = (await (await api('GET', `/v1/instances/${id}`)).json()) as Instance;
      return ['pending', 'starting'].includes(instance.status.state) ? undefined : instance;
    });
    expect(status).toMatchObject({ state: 'ready' });
    const server = await getBelow(url, 'api');
    expect(server.status).toBe(200);
    expect(JSON.parse(server.body)).toMatchObject({ version: expect.any(String) as string });
    const page = await getBelow(url, 'tree');
    expect(page.status).toBe(200);
    expect(page.body).toContain(`data-base-url="${new URL(url).pathname}"`);
  },
  120_000,
);

/** GET of a path below the address of an instance. Node does not resolve names below `localhost`. */
async function getBelow(base: string, path: string) {
  const { host, port, pathname } = new URL(path, base);
  const [answer] = (await once(
    get({ host: '127.0.0.1', port, path: pathname, headers: { host } }),
    'response',
  )) as [IncomingMessage];
  return { status: answer.statusCode, body: await text(answer) };
}

interface Instance {
  readonly url: string;
  readonly status: { readonly state: string; readonly message?: string };
}
