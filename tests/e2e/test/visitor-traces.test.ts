import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { keysOf } from '@ephemera/store';
import {
  SETTLED_DATASET,
  deploy,
  freePort,
  sampleDraft,
  startOtlpReceiver,
  waitFor,
} from '@ephemera/test-support';
import type { Deployment, OtlpReceiver } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

// Real proxies with a route to a server that returns the header fields of its requests.

const ID = sampleDraft().id;
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;

let site: Deployment;
let collector: OtlpReceiver;
const instance = createServer((req, res) => res.end(JSON.stringify(req.headers)));

beforeAll(async () => {
  instance.listen(0, '127.0.1.1');
  await once(instance, 'listening');
  const { port } = instance.address() as AddressInfo;
  collector = await startOtlpReceiver();
  site = await deploy({
    ...{ proxies: 0, workers: 0 },
    templates: 'templates: { notes: { image: ephemera/demo, port: 8080 } }',
    async seed(redis, namespace) {
      const keys = keysOf(namespace);
      const registration = { boot: 'boot', network: 'network', networks: ['127.0.0.0/8'] };
      await redis.set(keys.dataset, SETTLED_DATASET);
      await redis.set(keys.registration('host-a'), JSON.stringify(registration));
      const route = {
        ...{ state: 'ready', template: 'notes', host: 'host-a', hostHeader: 'pass' },
        ...{ address: '127.0.1.1', expiresAt: Date.now() + 3_600_000, stripPrefix: true },
        ...{ generation: 1, port, ports: { main: port } },
      };
      await redis.set(keys.route(ID), JSON.stringify(route));
    },
  });
});
afterAll(async () => {
  await site.stop();
  await collector.stop();
  instance.closeAllConnections();
  instance.close();
});

/** Starts a replica, and returns a function that sends it a request for the instance. */
async function startReplica(env: Record<string, string>) {
  const replica = site.proxies.length;
  const app = await site.startProxy({ env }, replica);
  const url = `${site.publicUrls[replica] ?? ''}/demo/${ID}/`;
  const get = async (headers: Record<string, string>): Promise<Record<string, string>> =>
    (await fetch(url, { headers })).json() as Promise<Record<string, string>>;
  return { app, get };
}

const traced = (more: Record<string, string> = {}) =>
  startReplica({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '50',
    ...more,
  });

/** The trace id, the span id and the flags that an instance has got. */
function partsOf({ traceparent = '' }: Record<string, string>) {
  const parts = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent);
  if (!parts) throw new Error(`not a traceparent: "${traceparent}"`);
  const [, traceId = '', spanId = '', flags = ''] = parts;
  return { traceId, spanId, flags };
}

const spanOf = (wanted: string) =>
  waitFor('the span', () => collector.spans.find(({ spanId }) => spanId === wanted));

test('the trace of a trusted balancer is continued, and the instance gets the span of the proxy', async () => {
  const { get } = await traced({ EPHEMERA_TRUSTED_PROXIES: '127.0.0.1' });
  const seen = await get({ traceparent: TRACEPARENT, tracestate: 'vendor=abc' });
  const { traceId, spanId, flags } = partsOf(seen);
  expect({ traceId, flags }).toEqual({ traceId: TRACE, flags: '01' });
  expect(spanId).not.toBe(PARENT);
  expect(seen['tracestate']).toBe('vendor=abc');
  expect(await spanOf(spanId)).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, kind: 2 });

  // The balancer has decided not to record this trace.
  const unsampled = partsOf(await get({ traceparent: `00-${TRACE}-${PARENT}-00` }));
  expect(unsampled).toMatchObject({ traceId: TRACE, flags: '00' });
  // The fields of an invalid one mean nothing together.
  const afresh = await get({ traceparent: `00-${TRACE}-${PARENT}-01-x`, tracestate: 'vendor=abc' });
  expect(partsOf(afresh).traceId).not.toBe(TRACE);
  expect(afresh['tracestate']).toBeUndefined();
  await spanOf(partsOf(afresh).spanId);
  expect(collector.spans.some((span) => span.spanId === unsampled.spanId)).toBe(false);
});

test('the trace of any other client gets a link, and a new one begins', async () => {
  const { get } = await traced();
  const seen = await get({ traceparent: TRACEPARENT, tracestate: 'vendor=abc' });
  const { traceId, spanId } = partsOf(seen);
  expect(traceId).not.toBe(TRACE);
  expect(seen['tracestate']).toBeUndefined();
  const span = await spanOf(spanId);
  expect(span).toMatchObject({ traceId, links: [TRACE] });
  expect(span.parentSpanId).toBeUndefined();
});

test('OTEL_TRACES_SAMPLER decides which traces are recorded', async () => {
  const { get } = await traced({
    OTEL_TRACES_SAMPLER: 'traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.5',
  });
  const seen = [];
  for (let i = 0; i < 40; i++) seen.push(partsOf(await get({})));
  const recorded = seen.filter(({ flags }) => flags === '01');
  // Fewer or more happens once in ten billion runs.
  expect(recorded.length).toBeGreaterThan(1);
  expect(recorded.length).toBeLessThan(39);
  for (const { spanId } of recorded) await spanOf(spanId);
  const ids = new Set(collector.spans.map(({ spanId }) => spanId));
  expect(seen.filter(({ flags, spanId }) => flags === '00' && ids.has(spanId))).toEqual([]);
});

test('a collector that does not answer costs a warning, and gets the spans that follow', async () => {
  const port = await freePort();
  const { app, get } = await traced({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_TIMEOUT: '100',
    OTEL_BSP_MAX_QUEUE_SIZE: '10',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5',
  });
  const warnings = () => app.log().split('traces cannot be delivered').length - 1;
  // Ten times what the queue holds, with several failed deliveries.
  for (let i = 0; i < 100; i++) expect(partsOf(await get({}))).toBeDefined();
  await waitFor('the warning', () => warnings() > 0);
  const late = await startOtlpReceiver(port);
  onTestFinished(() => late.stop());
  await waitFor('a delivery', async () => {
    await get({});
    return late.spans.length > 0;
  });
  await waitFor('the end of the warning', () => app.log().includes('delivered again'));
  expect(warnings()).toBe(1);
}, 180_000);

/** Starts a replica, and returns the modules that it has loaded once it has served a request. */
async function modulesOf(env: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-modules-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const list = join(folder, 'modules');
  const hook = join(folder, 'hook.mjs');
  await writeFile(list, '');
  await writeFile(
    hook,
    `import { appendFileSync } from 'node:fs';
     import { registerHooks } from 'node:module';
     registerHooks({
       load(url, context, next) {
         appendFileSync(${JSON.stringify(list)}, url + '\\n');
         return next(url, context);
       },
     });`,
  );
  const { get } = await startReplica({
    ...env,
    NODE_OPTIONS: `--import=${pathToFileURL(hook).href}`,
  });
  const seen = await get({ traceparent: TRACEPARENT, tracestate: 'vendor=abc' });
  return { seen, modules: (await readFile(list, 'utf8')).split('\n') };
}

test('without a collector, OpenTelemetry is not loaded, and the fields pass', async () => {
  const { seen, modules } = await modulesOf({});
  expect(seen).toMatchObject({ traceparent: TRACEPARENT, tracestate: 'vendor=abc' });
  expect(modules.some((url) => url.includes('/libs/proxy/src/'))).toBe(true);
  // prom-client requires the API, in its CommonJS form.
  const ofPromClient = /@opentelemetry\/api\/.+\.cjs$/;
  const isOther = (url: string) => url.includes('@opentelemetry') && !ofPromClient.test(url);
  expect(modules.filter(isOther)).toEqual([]);
  // The check would find them.
  const on = await modulesOf({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  expect(on.modules.some(isOther)).toBe(true);
}, 180_000);

test('a protocol that is not supported is refused at the start', async () => {
  const app = await site.startProxy(
    {
      unawaited: true,
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      },
    },
    site.proxies.length,
  );
  await waitFor('the refusal', () => app.child.exitCode === 1);
  expect(app.log()).toContain('OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf or http/json');
});
