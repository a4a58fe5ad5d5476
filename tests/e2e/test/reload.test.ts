import { rename, writeFile } from 'node:fs/promises';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { docker } from './docker-cli.ts';

// An operator changes the templates while instances run.

let site: Deployment;

const templates = (timeout: string, name = 'demo') => `
templates:
  ${name}:
    image: ephemera/demo
    port: 8080
    timeout: ${timeout}
    maxTimeout: 1h
    stopGrace: 0s
    limits: { memory: 64m }
    tmpfs: { /tmp: 8m }
    labels: { team: '${timeout}' }
`;

beforeAll(async () => {
  site = await deploy({ proxies: 2, templates: templates('60s') });
});
afterAll(() => site.stop());

interface Shown {
  readonly id: string;
  readonly template: string;
  readonly timeout: number;
}

async function create(replica: number): Promise<Shown> {
  const answer = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=20' }, replica);
  expect(answer.status).toBe(201);
  return (await answer.json()) as Shown;
}

test('every replica uses the new templates, and running instances keep theirs', async () => {
  const before = await create(0);
  expect(before.timeout).toBe(60);

  await writeFile(`${site.config}.new`, templates('120s'));
  await rename(`${site.config}.new`, site.config);
  for (const replica of [0, 1]) {
    await waitFor('the new template', async () => (await create(replica)).timeout === 120);
  }
  const kept = await (await site.api('GET', `/v1/instances/${before.id}`)).json();
  expect(kept).toMatchObject({ status: { state: 'ready' }, timeout: 60 });
  const own = ['--filter', `label=ephemera.instance=${before.id}`, '--filter', 'label=team=60s'];
  expect(await docker('ps', '-q', ...own)).toHaveLength(1);
});

test('SIGHUP reloads the templates at once, and an invalid file is ignored', async () => {
  const [proxy] = site.proxies;
  await writeFile(site.config, templates('180s', 'renamed'));
  proxy?.child.kill('SIGHUP');
  await waitFor('the new template', async () => (await create(0)).template === 'renamed');

  await writeFile(site.config, 'templates: { broken: { port: eighty } }');
  proxy?.child.kill('SIGHUP');
  await waitFor('the refusal in the log', () => proxy?.log().includes('keeping the previous one'));
  expect(proxy?.log()).toContain('templates.broken.port');
  expect(proxy?.log()).toContain('templates.broken.image');
  expect(await create(0)).toMatchObject({ template: 'renamed', timeout: 180 });
});
