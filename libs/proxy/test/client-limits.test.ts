import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// Limits per client hold for the whole /64 that an IPv6 subscriber controls, and for no other. Limits
// per token also hold for the links that it makes.

const TEMPLATES = (limits: string) =>
  `default: demo\nlimits: { ${limits} }\ntemplates: { demo: { image: ephemera/demo, port: 8080 } }`;

let rated: OpenPorts;
let counted: OpenPorts;
beforeAll(async () => {
  // Behind a trusted load balancer, the address of the client is in X-Forwarded-For.
  const trusted = ['127.0.0.0/8'];
  rated = await openPorts(TEMPLATES('ratePerAddress: 2/1h'), { trusted });
  counted = await openPorts(TEMPLATES('perAddress: 2'), { trusted });
});
afterAll(async () => {
  for (const ports of [rated, counted]) {
    await ports.stop();
    expect(ports.bugs).toEqual([]);
  }
});
afterEach(() => counted.clear());

async function startFrom(ports: OpenPorts, client: string): Promise<number> {
  const { status } = await fetch(`${ports.publicUrl}/demo/new?redirect=0`, {
    method: 'POST',
    headers: { 'x-forwarded-for': client },
  });
  return status;
}

test.each([
  ['the rate of starts', () => rated],
  ['the number of live instances', () => counted],
])('%s', async (_what, ports) => {
  const start = (client: string) => startFrom(ports(), client);
  expect(await start('2001:db8:1:2::1')).toBe(200);
  expect(await start('2001:db8:1:2:ffff:ffff:ffff:ffff')).toBe(200);
  // Another address, and other spellings of it, are the same client.
  for (const same of [
    '2001:db8:1:2::3',
    '2001:DB8:1:2::3',
    '2001:0db8:0001:0002::3',
    '[2001:db8:1:2::3]:4001',
  ]) {
    expect(await start(same), same).toBe(429);
  }
  for (const other of ['2001:db8:1:3::1', '2001:db8:1::1', '192.0.2.1', '192.0.2.2']) {
    expect(await start(other), other).toBe(200);
  }
});

/** The address of a new link. */
async function makeLink(ports: OpenPorts, uses: number): Promise<string> {
  const made = await fetch(`${ports.adminUrl}/v1/links`, {
    method: 'POST',
    headers: { ...BEARER, 'content-type': 'application/json' },
    body: JSON.stringify({ uses }),
  });
  expect(made.status).toBe(201);
  return ((await made.json()) as { url: string }).url;
}

async function startBy(ports: OpenPorts, link = ''): Promise<number> {
  const { search } = new URL(link);
  const url = `${ports.publicUrl}/demo/new${search}&redirect=0`;
  return (await fetch(url, { method: 'POST' })).status;
}

test('starts through the links of a token count against its rate', async () => {
  const ports = await openPorts(TEMPLATES('ratePerToken: 3/1h'));
  try {
    const links = [await makeLink(ports, 100), await makeLink(ports, 100)];
    const start = (i: number) => startBy(ports, links[i % links.length]);
    expect([await start(0), await start(1), await start(2)]).toEqual([200, 200, 200]);
    expect([await start(3), await start(4)]).toEqual([429, 429]);
    // A visitor without a link has a rate of its own.
    expect(await startFrom(ports, '192.0.2.9')).toBe(200);
  } finally {
    await ports.stop();
  }
});

test('a link that is used up takes nothing from the rate of its token', async () => {
  const ports = await openPorts(TEMPLATES('ratePerToken: 3/1h'));
  try {
    const used = await makeLink(ports, 1);
    expect(await startBy(ports, used)).toBe(200);
    // Everybody may have this link.
    for (let i = 0; i < 5; i++) expect(await startBy(ports, used)).toBe(403);
    const other = await makeLink(ports, 100);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push(await startBy(ports, other));
    expect(statuses).toEqual([200, 200, 429]);
  } finally {
    await ports.stop();
  }
});
