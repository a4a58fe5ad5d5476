import { expect, test } from 'vitest';
import { z } from 'zod';
import { readEnvironment } from './environment.ts';
import { TRACING, tracingOf } from './tracing-config.ts';

const read = (environment: Record<string, string>) =>
  tracingOf(readEnvironment(z.object(TRACING), environment));

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' };

test.each([
  ['no variable', {}],
  ['a sampler alone', { OTEL_TRACES_SAMPLER: 'always_on' }],
  ['an empty address', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }],
  ['OTEL_SDK_DISABLED', { ...endpoint, OTEL_SDK_DISABLED: ' TRUE ' }],
])('with %s, no traces are recorded', (_, environment) => {
  expect(read(environment)).toBeUndefined();
});

test('the defaults are those of the specification', () => {
  const expected = {
    ...{ sampler: 'parentbased_always_on', ratio: 1 },
    ...{ maxQueueSize: 2_048, maxExportBatchSize: 512, scheduleDelay: 5_000 },
  };
  expect(read(endpoint)).toEqual(expected);
  expect(read({ ...endpoint, OTEL_SDK_DISABLED: 'false' })).toEqual(expected);
  const traces = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://example.org/otlp/traces' };
  expect(read(traces)).toEqual(expected);
});

test('every variable with an error is named', () => {
  const wrong = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318',
    OTEL_TRACES_SAMPLER: 'jaeger_remote',
    OTEL_TRACES_SAMPLER_ARG: '10',
    OTEL_BSP_MAX_QUEUE_SIZE: '0',
  };
  for (const name of Object.keys(wrong)) expect(() => read(wrong)).toThrow(name);
});
