import { createMetrics } from '@ephemera/process';
import { expect, test } from 'vitest';
import { RequestMetrics, type RequestMeasurement } from './request-metrics.ts';

const request: RequestMeasurement = {
  template: 'demo',
  method: 'GET',
  status: 200,
  duration: 3,
  upstreamDuration: 2,
};

function metrics() {
  const registry = createMetrics('proxy');
  const requests = new RequestMetrics(registry);
  const samples = async (name: string) =>
    (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith(name))
      .map((line) => line.replace(',app="proxy"', ''));
  return { requests, registry, samples };
}

test('requests are counted by template, method and class of the status', async () => {
  const { requests, samples } = metrics();
  requests.add(request);
  requests.add({ ...request, status: 204 });
  requests.add({ ...request, method: 'POST', status: 502 });
  requests.add({ ...request, status: undefined });
  expect(await samples('ephemera_requests_total')).toEqual([
    'ephemera_requests_total{template="demo",method="GET",code="2xx"} 2',
    'ephemera_requests_total{template="demo",method="GET",code="none"} 1',
    'ephemera_requests_total{template="demo",method="POST",code="5xx"} 1',
  ]);
});

test('durations fall into cumulative buckets, in seconds', async () => {
  const { requests, samples } = metrics();
  for (const duration of [1, 3, 7_000, 100_000]) requests.add({ ...request, duration });
  const buckets = await samples('ephemera_request_duration_seconds_bucket');
  const at = (le: string) => buckets.find((line) => line.includes(`le="${le}"`))?.split(' ')[1];
  expect([at('0.001'), at('0.0025'), at('0.005'), at('10'), at('60'), at('+Inf')]).toEqual([
    '1',
    '1',
    '2',
    '3',
    '3',
    '4',
  ]);
  expect(await samples('ephemera_request_duration_seconds_sum')).toEqual([
    'ephemera_request_duration_seconds_sum{template="demo"} 107.004',
  ]);
});

test('clients and templates cannot create series without bound', async () => {
  const { requests, samples } = metrics();
  for (let i = 0; i < 1_000; i++) {
    requests.add({ ...request, method: `M${i}`, template: `t${i}`, status: i });
  }
  const lines = await samples('ephemera_requests_total');
  const label = (name: string) =>
    new Set(lines.map((line) => new RegExp(`${name}="([^"]*)"`).exec(line)?.[1]));
  expect(label('method')).toEqual(new Set(['other']));
  expect(label('template').size).toBe(201);
  expect(label('template')).toContain('other');
  expect(label('code').size).toBeLessThanOrEqual(7);
});

test('the text is what Prometheus reads', async () => {
  const { requests, samples } = metrics();
  requests.add(request);
  expect(await samples('# TYPE ephemera_request')).toEqual([
    '# TYPE ephemera_requests_total counter',
    '# TYPE ephemera_request_duration_seconds histogram',
  ]);
});
