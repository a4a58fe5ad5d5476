import { afterAll, beforeAll, expect, test } from 'vitest';
import { DOMAIN, openPorts, type OpenPorts } from './open-ports.ts';

const TEMPLATES = 'templates: { demo: { image: ephemera/demo, port: 8080 } }';

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts(TEMPLATES);
});
afterAll(() => ports.stop());

const NAME = DOMAIN.replace(/:\d+$/, '');
const ask = async (domain: string): Promise<number> => {
  const address = `${ports.adminUrl}/tls/ask?domain=${encodeURIComponent(domain)}`;
  return (await fetch(address)).status;
};

test('a certificate may be obtained for the names of a living instance only', async () => {
  const id = await ports.startInstance();
  for (const label of [id, `web-${id}`, `8080-${id}`]) {
    for (const name of [
      `${label}.${NAME}`,
      `${label}.${NAME}.`,
      `${label}.${NAME}`.toUpperCase(),
    ]) {
      expect([name, await ask(name)]).toEqual([name, 200]);
    }
  }
  const foreign = [
    ...[NAME, `www.${NAME}`, `${id}.other.example`, id, `a.${id}.${NAME}`, ''],
    // A visitor could make up any number of ports.
    ...[`other-${id}.${NAME}`, `9999-${id}.${NAME}`, `a${'b'.repeat(25)}.${NAME}`],
  ];
  for (const name of foreign) expect([name, await ask(name)]).toEqual([name, 404]);
  await ports.instances.startDraining(id, 'request');
  await expect.poll(() => ask(`${id}.${NAME}`)).toBe(404);
});

test('a request without a name is an error', async () => {
  expect((await fetch(`${ports.adminUrl}/tls/ask`)).status).toBe(400);
});
