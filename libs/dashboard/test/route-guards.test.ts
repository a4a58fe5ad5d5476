import { guardCases, sendCase } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ASSETS, assetRoute, dashboardRoutes } from '../src/dashboard-routes.ts';
import { BEARER, openDashboard } from './fixture.ts';
import type { Fixture } from './fixture.ts';

// Sends to every route of the dashboard every request that its guard must refuse. Cases for a new
// route come from its declaration.

const assets = (Object.keys(ASSETS) as (keyof typeof ASSETS)[]).map(assetRoute);
const ROUTES = [...Object.values(dashboardRoutes), ...assets];

let fixture: Fixture;
beforeAll(async () => {
  fixture = await openDashboard();
});
afterAll(() => fixture.stop());

test('every declared route is mounted, and every mounted route is declared', () => {
  const namesOf = (routes: readonly { method: string; path: string }[]) =>
    routes.map(({ method, path }) => `${method} ${path}`).sort();
  expect(namesOf(fixture.routes)).toEqual(namesOf(ROUTES));
});

test.each(guardCases(ROUTES, 'refuse'))('$name: $status', async (sent) => {
  const answer = await sendCase(fixture.url, sent, { ...BEARER, origin: fixture.url });
  expect(answer).toMatchObject({ status: sent.status, type: 'application/problem+json' });
  for (const name of sent.names) expect(answer.detail).toContain(name);
  if (sent.status === 405) expect(answer.allow).not.toBe('');
});
