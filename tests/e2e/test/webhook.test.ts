import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { waitFor } from '@ephemera/test-support';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { TEMPLATES } from './templates.ts';

// A receiver gets the events of every instance although a worker is killed.

const SECRET = 'shared-secret-of-this-test';
const received: { event: Record<string, string>; headers: IncomingHttpHeaders; body: string }[] =
  [];
const receiver = createServer((req, res) => {
  void text(req).then((body) => {
    const event = JSON.parse(body) as Record<string, string>;
    received.push({ event, headers: req.headers, body });
    res.writeHead(204).end();
  });
});

let site: Deployment;
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  const webhooks = `
webhooks:
  - name: books
    url: http://127.0.0.1:${port}/
    secretEnv: BOOKS_SECRET
    events: [ready, gone]
`;
  site = await deploy({
    templates: TEMPLATES + webhooks,
    workers: 2,
    env: { BOOKS_SECRET: SECRET },
  });
});
afterAll(async () => {
  await site.stop();
  receiver.closeAllConnections();
  receiver.close();
});

test('every event is delivered with a valid signature although a worker is killed', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 4; i++) {
    const body = { template: 'demo' };
    const answer = await site.api('POST', '/v1/instances', body, { prefer: 'wait=30' });
    ids.push(((await answer.json()) as { id: string }).id);
    if (i === 1) site.workers[0]?.child.kill('SIGKILL');
  }
  expect((await site.api('DELETE', '/v1/instances')).status).toBe(202);
  await waitFor(
    'all events',
    () =>
      ids.every((id) =>
        ['ready', 'gone'].every((type) =>
          received.some(({ event }) => event['id'] === id && event['type'] === type),
        ),
      ),
    60_000,
  );
  const verifier = new Webhook(SECRET, { format: 'raw' });
  for (const { headers, body } of received) {
    verifier.verify(body, headers as Record<string, string>);
  }
  expect(site.workers.map(({ log }) => log()).join('')).not.toContain(SECRET);
});
