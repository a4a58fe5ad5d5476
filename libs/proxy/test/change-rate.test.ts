import { afterAll, beforeAll, expect, test } from 'vitest';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// Each renewal, pause and resume writes to Redis, so a token has a rate of them.

const ID = 'a'.repeat(26);

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts(
    'templates: { demo: { image: ephemera/demo, port: 8080 } }\nlimits: { changesPerToken: 3/1h }',
  );
});
afterAll(() => ports.stop());

test('renewals, pauses and resumes share one rate per token, which reads do not use', async () => {
  const send = (method: string, path: string, body?: object) =>
    fetch(`${ports.adminUrl}/v1/instances/${ID}${path}`, {
      method,
      headers: { ...BEARER, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
  expect((await send('POST', '/renew', { timeout: 60 })).status).toBe(404);
  expect((await send('POST', '/pause')).status).toBe(404);
  const third = await send('POST', '/resume');
  expect(third.status).toBe(404);
  expect(third.headers.get('ratelimit')).toMatch(/^"token";r=0;t=\d+$/);
  for (const [path, body] of [
    ['/renew', { timeout: 60 }],
    ['/pause', undefined],
    ['/resume', undefined],
  ] as const) {
    const refused = await send('POST', path, body);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  }
  expect((await send('GET', '')).status).toBe(404);
  expect((await send('DELETE', '')).status).toBe(404);
});
