import { createMetrics } from '@ephemera/process';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { RequestMetrics } from '../../src/request-metrics.ts';
import type { RequestFacts } from '../../src/data-plane/routed-request.ts';
import { registerRouteMetrics } from '../../src/proxy-metrics.ts';
import { newId, startFixture } from './fixture.ts';
import { handshake, SWITCH } from './handshake.ts';
import { open, send } from './raw.ts';
import { answering, OK, startUpstream } from './upstream.ts';

async function measured() {
  const registry = createMetrics('proxy');
  const requests = new RequestMetrics(registry);
  const ended: Omit<RequestFacts, 'req'>[] = [];
  let retries = 0;
  const fixture = await startFixture({
    onRequestEnd: (facts) => {
      const { req: _, ...rest } = facts;
      ended.push(rest);
      requests.add(facts);
    },
    onRetry: () => retries++,
  });
  registerRouteMetrics(registry, fixture.routes);
  onTestFinished(() => fixture.stop());
  const behind = async (...behaviour: Parameters<typeof startUpstream>) => {
    const upstream = await startUpstream(...behaviour);
    onTestFinished(() => upstream.stop());
    return fixture.ready(upstream.port, { template: 'notes' });
  };
  const request = (id: string, method = 'GET') =>
    send(fixture.port, `${method} /demo/${id}/?key=secret HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  const lines = async (name: string) =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith(name));
  return { fixture, behind, request, ended, lines, retries: () => retries };
}

test('each request is measured with its instance, template, status, times and bytes', async () => {
  const { behind, request, ended } = await measured();
  const id = await behind(({ socket }) =>
    setTimeout(() => socket.end('HTTP/1.1 203 Fine\r\nContent-Length: 5\r\n\r\nhello'), 60),
  );
  await request(id, 'PUT');
  await waitFor('the measurement', () => ended.length === 1);
  const [facts] = ended;
  expect(facts).toMatchObject({ id, template: 'notes', method: 'PUT', status: 203, bytes: 5 });
  expect(facts?.upstreamDuration).toBeGreaterThan(50);
  expect(facts?.duration).toBeGreaterThanOrEqual(facts?.upstreamDuration ?? Infinity);
});

test('requests without an instance, and those whose client has left, are measured as such', async () => {
  const { behind, request, ended, fixture, lines } = await measured();
  await request(newId());
  const id = await behind(() => undefined);
  const raw = open(fixture.port);
  raw.send(`GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  await waitFor('the request to be forwarded', () => fixture.dataPlane.upstreamConnections() === 1);
  raw.socket.destroy();
  await waitFor('both measurements', () => ended.length === 2);
  const [unknown, left] = ended;
  expect([unknown?.template, unknown?.status]).toEqual([undefined, 404]);
  expect([left?.template, left?.status, left?.upstreamDuration]).toEqual([
    'notes',
    undefined,
    undefined,
  ]);
  expect((await lines('ephemera_requests_total')).sort()).toEqual([
    'ephemera_requests_total{template="",method="GET",code="4xx",app="proxy"} 1',
    'ephemera_requests_total{template="notes",method="GET",code="none",app="proxy"} 1',
  ]);
  // Only the first one had a response head of an instance: none.
  expect(await lines('ephemera_upstream_response_seconds_count')).toEqual([
    'ephemera_upstream_response_seconds_count{template="",app="proxy"} 0',
    'ephemera_upstream_response_seconds_count{template="notes",app="proxy"} 0',
  ]);
});

test('a WebSocket is counted once when it closes, and its duration is not', async () => {
  const { behind, fixture, ended, lines } = await measured();
  const id = await behind(answering(SWITCH));
  const raw = open(fixture.port);
  raw.send(handshake(id));
  await raw.until(/101 /);
  expect(ended).toEqual([]);
  // The end of one direction would leave the other one open.
  raw.socket.resetAndDestroy();
  await waitFor('the measurement', () => ended.length === 1);
  expect(ended[0]).toMatchObject({ id, template: 'notes', status: 101 });
  expect(await lines('ephemera_requests_total')).toEqual([
    'ephemera_requests_total{template="notes",method="GET",code="1xx",app="proxy"} 1',
  ]);
  expect(await lines('ephemera_request_duration_seconds_count')).toEqual([
    'ephemera_request_duration_seconds_count{template="notes",app="proxy"} 0',
  ]);
});

test('a handshake that the instance refuses is measured with its status', async () => {
  const { behind, fixture, ended } = await measured();
  const id = await behind(answering('HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno'));
  const raw = open(fixture.port);
  raw.send(handshake(id));
  await raw.until(/\r\n\r\nno$/);
  await waitFor('the measurement', () => ended.length === 1);
  expect(ended[0]).toMatchObject({ id, template: 'notes', status: 403 });
  expect(ended[0]?.bytes).toBe(raw.received.length);
});

test('look-ups of routes are counted by whether memory answered, and their changes', async () => {
  const { behind, request, lines, fixture } = await measured();
  const id = await behind(answering(OK));
  for (let i = 0; i < 3; i++) await request(id);
  const value = async (name: string) =>
    Number((await lines(`ephemera_route_cache_${name}{`))[0]?.split(' ')[1]);
  expect([await value('misses_total'), await value('routes')]).toEqual([1, 1]);
  expect(await value('hits_total')).toBeGreaterThanOrEqual(2);
  const before = await value('invalidations_total');
  await fixture.put(id, { state: 'draining', generation: 1_000, reason: 'request' });
  await waitFor('the push', async () => (await value('invalidations_total')) > before);
  expect(await lines('ephemera_redis_up')).toEqual(['ephemera_redis_up{app="proxy"} 1']);
});
