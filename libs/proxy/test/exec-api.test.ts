import { hashToken } from '@ephemera/http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// Who may run commands in which instance. No worker is registered, so a command that may run is answered
// with 503.

const TOKENS = {
  owner: 'o'.repeat(32),
  other: 'p'.repeat(32),
  maker: 'm'.repeat(32),
  runner: 'r'.repeat(32),
  reader: 'q'.repeat(32),
} as const;
type Who = keyof typeof TOKENS | 'admin';
const TEMPLATES = `
default: closed
limits: { changesPerToken: 1000/1m }
templates:
  closed: { image: ephemera/demo, port: 8080 }
  operators: { image: ephemera/demo, port: 8080, exec: admin }
  owners: { image: ephemera/demo, port: 8080, exec: owner }
`;
const COMMAND = `${'0'.repeat(26)}a${'1'.repeat(25)}`;

let ports: OpenPorts;
/** Ready instances of the token `owner`, by their templates. */
const ids: Record<string, string> = {};
beforeAll(async () => {
  const entry = (who: keyof typeof TOKENS, ...scopes: ('read' | 'create' | 'exec')[]) => ({
    [who]: { hash: [hashToken(TOKENS[who])], scopes },
  });
  ports = await openPorts(TEMPLATES, {
    entries: {
      ...entry('owner', 'create', 'exec'),
      ...entry('other', 'create', 'exec'),
      ...entry('maker', 'create'),
      ...entry('runner', 'exec', 'read'),
      ...entry('reader', 'read'),
    },
  });
  for (const template of ['closed', 'operators', 'owners']) {
    const made = await send('owner', 'POST', '', { template });
    const { id } = (await made.json()) as { id: string };
    const { generation = 0 } = (await ports.instances.get(id)) ?? {};
    await ports.instances.assignToHost(id, generation, 'host');
    await ports.instances.markReady(id, generation, '10.231.1.1');
    ids[template] = id;
  }
});
afterAll(async () => {
  await ports.stop();
  expect(ports.bugs).toEqual([]);
});

function send(who: Who, method: string, path: string, body?: object): Promise<Response> {
  return fetch(`${ports.adminUrl}/v1/instances${path}`, {
    method,
    headers: {
      ...(who === 'admin' ? BEARER : { authorization: `Bearer ${TOKENS[who]}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
}

const REQUESTS: readonly (readonly [method: string, path: string, body?: object])[] = [
  ['POST', '', { cmd: ['/bin/true'] }],
  ['GET', `/${COMMAND}`],
  ['POST', `/${COMMAND}/stdin`, { dataBase64: '' }],
  ['POST', `/${COMMAND}/kill`, {}],
  ['POST', `/${COMMAND}/resize`, { columns: 80, rows: 24 }],
];

/** The status of each request about commands of an instance. */
async function statusesOf(who: Who, id: string): Promise<number[]> {
  const statuses: number[] = [];
  for (const [method, path, body] of REQUESTS) {
    statuses.push((await send(who, method, `/${id}/exec${path}`, body)).status);
  }
  return statuses;
}
const all = (status: number) => REQUESTS.map(() => status);

test.each<[template: string, expected: Partial<Record<Who, number>>]>([
  ['closed', { admin: 409, owner: 409 }],
  ['operators', { admin: 503, owner: 403 }],
  ['owners', { admin: 503, owner: 503 }],
])('commands in an instance of the template %s', async (template, expected) => {
  for (const who of ['admin', 'owner', 'other', 'maker', 'runner', 'reader'] as const) {
    const status = expected[who] ?? 403;
    expect([who, await statusesOf(who, ids[template] ?? '')]).toEqual([who, all(status)]);
  }
});

test('a token cannot distinguish the instance of another token from none', async () => {
  const unknown = `a${'z'.repeat(25)}`;
  expect(await statusesOf('admin', unknown)).toEqual(all(404));
  const answers = [];
  for (const id of [ids['owners'] ?? '', unknown, 'not-an-id']) {
    const answer = await send('other', 'POST', `/${id}/exec`, { cmd: ['/bin/true'] });
    answers.push([answer.status, (await answer.text()).replaceAll(id, 'ID')]);
  }
  expect(answers[1]).toEqual(answers[0]);
  expect(answers[2]).toEqual(answers[0]);
});

test('an ended instance runs no commands', async () => {
  const made = await send('owner', 'POST', '', { template: 'owners' });
  const { id } = (await made.json()) as { id: string };
  expect((await send('owner', 'POST', `/${id}/exec`, { cmd: ['x'] })).status).toBe(409);
  await ports.instances.startDraining(id, 'request');
  expect(await statusesOf('owner', id)).toEqual(all(410));
});
