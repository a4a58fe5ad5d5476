import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { matchesToken } from '../src/access/access-token.ts';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// A client repeats a creation because it got 503 or no response. Nothing has given it the access
// token yet, and only the hash of the token is stored.

const TEMPLATES = `
default: guarded
templates:
  guarded: { image: a, port: 80, access: token }
  open: { image: a, port: 80 }
`;
const [OLD, NEW] = ['o'.repeat(32), 'n'.repeat(32)];

let ports: OpenPorts;
let signingKeys: string[] = [];

beforeAll(async () => {
  ports = await openPorts(TEMPLATES, { signingKeys: () => signingKeys });
});
beforeEach(() => {
  signingKeys = [OLD];
});
afterAll(async () => {
  await ports.stop();
  expect(ports.bugs).toEqual([]);
});

async function create(key: string, template = 'guarded') {
  const response = await fetch(`${ports.adminUrl}/v1/instances`, {
    method: 'POST',
    headers: { ...BEARER, 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ template }),
  });
  const { id, accessToken, link } = (await response.json()) as Record<string, string | undefined>;
  return { isReplayed: response.headers.has('idempotency-replayed'), id, accessToken, link };
}

test('the repetition of a creation has the token and the link of the first', async () => {
  const first = await create('order-1');
  const repeated = await create('order-1');
  expect(repeated).toEqual({ ...first, isReplayed: true });
  const { accessHash = '' } = (await ports.instances.get(first.id ?? '')) ?? {};
  expect(matchesToken(repeated.accessToken ?? '', accessHash)).toBe(true);
  expect(repeated.link).toContain(`ephemera-token=${repeated.accessToken}`);
  expect((await create('order-2')).accessToken).not.toBe(first.accessToken);
});

test('a key that is used again after a day makes another token', async () => {
  const first = await create('daily');
  await ports.clear();
  const next = await create('daily');
  expect(next).toMatchObject({ isReplayed: false });
  expect(next.accessToken).not.toBe(first.accessToken);
});

test('the token survives a rotation of the signing keys, while the old key verifies', async () => {
  const { accessToken } = await create('rotated');
  signingKeys = [NEW, OLD];
  expect((await create('rotated')).accessToken).toBe(accessToken);
  signingKeys = [NEW];
  expect(await create('rotated')).toMatchObject({ isReplayed: true, accessToken: undefined });
});

test('without signing keys at the creation, the repetition has no token', async () => {
  signingKeys = [];
  expect((await create('plain')).accessToken).toMatch(/^[\w-]{43}$/);
  expect(await create('plain')).toMatchObject({ isReplayed: true, accessToken: undefined });
  signingKeys = [OLD];
  expect(await create('plain')).toMatchObject({ isReplayed: true, accessToken: undefined });
});

test('a public instance has no token', async () => {
  await create('public', 'open');
  expect(await create('public', 'open')).toMatchObject({
    isReplayed: true,
    accessToken: undefined,
    link: undefined,
  });
});
