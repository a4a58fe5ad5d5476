import { randomBytes } from 'node:crypto';
import { type ReceivedSpan, startOtlpReceiver, waitFor } from '@ephemera/test-support';
import type { OtlpReceiver } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { TEMPLATES } from './templates.ts';

// Proxy and worker send their spans to one collector. tests/e2e/test/visitor-traces.test.ts has the
// traces of visitors.

let site: Deployment;
let collector: OtlpReceiver;

beforeAll(async () => {
  collector = await startOtlpReceiver();
  site = await deploy({
    templates: TEMPLATES.replace('  brief:', '  brief:\n    envAllow: [SECRET]'),
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=abc',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    },
  });
});
afterAll(async () => {
  await site.stop();
  await collector.stop();
});

/** A client's trace. */
function newTrace() {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01` } };
}

/** Waits for a span, which arrives after its end. */
const received = (what: string, test: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> =>
  waitFor(what, () => collector.spans.find(test));

test('one trace leads from the creation through the job to Docker', async () => {
  const { traceId, spanId, headers } = newTrace();
  const body = { template: 'demo' };
  const answer = await site.api('POST', '/v1/instances', body, { ...headers, prefer: 'wait=60' });
  expect(answer.status).toBe(201);
  const { id } = (await answer.json()) as { id: string };

  const named = (name: string) =>
    received(name, (span) => span.traceId === traceId && span.name === name);
  const creation = await named('create instance');
  expect(creation).toMatchObject({
    parentSpanId: spanId,
    attributes: {
      'ephemera.instance.id': id,
      'ephemera.template': 'demo',
      'ephemera.creation.outcome': 'created',
    },
    resource: {
      'service.name': 'ephemera-proxy',
      'service.namespace': site.namespace,
      'deployment.environment.name': 'test',
    },
    isError: false,
  });
  const job = await named('process instance-spawn');
  expect(job).toMatchObject({
    parentSpanId: creation.spanId,
    kind: 5,
    attributes: {
      'messaging.system': 'bullmq',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'instance-spawn',
      'ephemera.instance.id': id,
    },
    resource: { 'service.name': 'ephemera-worker' },
    isError: false,
  });
  expect(job.attributes['messaging.message.id']).toContain(`${id}-`);
  for (const [method, template] of [
    ['POST', '/containers/create'],
    ['POST', '/containers/{id}/start'],
  ] as const) {
    expect(await named(`${method} ${template}`)).toMatchObject({
      parentSpanId: job.spanId,
      kind: 3,
      attributes: { 'http.request.method': method, 'url.template': template },
      resource: { 'service.name': 'ephemera-worker' },
    });
  }
  expect(collector.header('x-collector-key')).toBe('abc');
});

test('the removal of an instance is a part of the trace of the request for it', async () => {
  const created = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=60' });
  const { id } = (await created.json()) as { id: string };
  const { traceId, spanId, headers } = newTrace();
  await site.api('DELETE', `/v1/instances/${id}`, undefined, headers);
  const job = await received('the kill job', (span) => span.traceId === traceId && span.kind === 5);
  expect(job).toMatchObject({ parentSpanId: spanId, attributes: { 'ephemera.instance.id': id } });
  expect(job.name).toMatch(/^process instance-kill-/);
  await received(
    'the removal',
    ({ name, parentSpanId }) => name === 'DELETE /containers/{id}' && parentSpanId === job.spanId,
  );
});

test('the kill job at the deadline has a trace of its own, with a link, and no span has a secret', async () => {
  const { traceId, headers } = newTrace();
  const secret = randomBytes(12).toString('hex');
  const body = { template: 'brief', env: { SECRET: secret } };
  const answer = await site.api('POST', '/v1/instances', body, { ...headers, prefer: 'wait=60' });
  const { id, url } = (await answer.json()) as { id: string; url: string };
  const { pathname } = new URL(url);
  await fetch(`${site.publicUrls[0] ?? ''}${pathname}id?token=${secret}`, {
    headers: { authorization: `Bearer ${secret}`, cookie: `session=${secret}` },
  });
  const job = await received(
    'the kill job',
    ({ name, attributes }) =>
      name.startsWith('process instance-kill-') && attributes['ephemera.instance.id'] === id,
  );
  expect(job.links).toEqual([traceId]);
  expect(job.traceId).not.toBe(traceId);
  expect(job.parentSpanId).toBeUndefined();
  expect(
    await received(
      'the request',
      ({ kind, attributes }) => kind === 2 && attributes['ephemera.instance.id'] === id,
    ),
  ).toMatchObject({
    name: 'GET /demo/{id}/*',
    attributes: {
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'http.route': '/demo/{id}/*',
      'url.path': `${pathname}id`,
      'ephemera.template': 'brief',
    },
  });
  expect(collector.bodies.join('\n')).not.toContain(secret);
});

test('calls to Docker outside of jobs have no spans', async () => {
  const calls = collector.spans.filter(({ kind }) => kind === 3);
  expect(calls.length).toBeGreaterThan(5);
  expect(calls.filter(({ parentSpanId }) => parentSpanId === undefined)).toEqual([]);
  for (const { parentSpanId } of calls) {
    await received('the job', ({ kind, spanId }) => kind === 5 && spanId === parentSpanId);
  }
});
