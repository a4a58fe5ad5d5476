import type { Failure } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { problemOf, problemSchema } from './problem.ts';

const ID = 'a'.repeat(26);

const TABLE: readonly (readonly [Failure, status: number, detail: string])[] = [
  [{ kind: 'unauthorized' }, 401, 'A valid token is required: Authorization: Bearer …'],
  [{ kind: 'not_found', what: 'instance of this id' }, 404, 'There is no instance of this id.'],
  [
    { kind: 'method_not_allowed', allow: 'GET, POST' },
    405,
    'This path does not accept the method. Allowed: GET, POST.',
  ],
  [
    {
      kind: 'invalid',
      faults: [
        { path: 'timeout', detail: 'must be a number' },
        { path: '', detail: 'broken JSON' },
      ],
    },
    400,
    'timeout: must be a number; broken JSON',
  ],
  [
    {
      kind: 'invalid',
      faults: [
        { path: 'sort', in: 'query', detail: 'unknown' },
        { path: 'prefer', in: 'header', detail: 'odd' },
      ],
    },
    400,
    'query parameter sort: unknown; header prefer: odd',
  ],
  [{ kind: 'invalid', faults: [{ path: '', detail: 'too long' }], status: 413 }, 413, 'too long'],
  [
    { kind: 'unknown_template', name: '<script>', known: ['demo', 'ide'] },
    400,
    'There is no template with this name. Available templates: demo, ide.',
  ],
  [{ kind: 'unknown_template', name: 'x', known: [] }, 400, 'There is no template with this name.'],
  [
    { kind: 'missing_base_path', prefix: 'demo' },
    404,
    'A page of an instance asked for this path, but the instance is below /demo/{id}/. Its application does not know its base path. The operator sets `stripPrefix: false` in the template and passes `{basePath}` to the application in `command` or `env`, or sets `EPHEMERA_DOMAIN` to serve each instance on its own origin.',
  ],
  [
    { kind: 'gone', id: ID, reason: 'ttl' },
    410,
    'This instance has ended. It reached its deadline.',
  ],
  [
    { kind: 'gone', id: ID, reason: 'exited', message: 'The container exited with code 3.' },
    410,
    'This instance has ended. Its container exited. The container exited with code 3.',
  ],
  [
    { kind: 'starting', id: ID },
    503,
    'The instance is still starting. Try again in a few seconds.',
  ],
  [
    { kind: 'not_ready', id: ID },
    409,
    'The instance is not ready yet, so it has no lease to renew. Renew it when its state is ready.',
  ],
  [{ kind: 'start_failed', id: ID, message: 'No such image.' }, 502, 'No such image.'],
  [
    { kind: 'upstream_unreachable', id: ID },
    502,
    `The instance refused the connection, closed it early, or sent an invalid response. If it persists, its operator finds the reason with \`ephemera get ${ID}\` and in the log of the proxy.`,
  ],
  [
    { kind: 'upstream_timeout', id: ID },
    504,
    `The instance did not begin its response in time. Try again. If it persists, its operator finds the reason with \`ephemera get ${ID}\` and in the log of the proxy.`,
  ],
  [
    { kind: 'host_unregistered', id: ID, host: 'h2', address: '10.231.1.5' },
    503,
    'The host of this instance has not registered its network. Try again in a few seconds.',
  ],
  [
    { kind: 'full', limit: 'hosts' },
    429,
    'No host has capacity for another instance. Try again later.',
  ],
  [{ kind: 'store_unavailable' }, 503, 'Redis is unavailable. Try again in a few seconds.'],
  [{ kind: 'internal' }, 500, 'An internal error occurred. Details are in the log of the server.'],
];

test.each(TABLE)('%o is answered with status %i', (failure, status, detail) => {
  const { problem } = problemOf(failure);
  expect(problem).toMatchObject({ status, detail });
  expect(problem.type).toBe(`urn:ephemera:problem:${failure.kind}`);
  expect(problemSchema.parse(JSON.parse(JSON.stringify(problem)))).toEqual(problem);
});

test('headers state what the client can do next', () => {
  const headersOf = (failure: Failure) => problemOf(failure).headers;
  expect(headersOf({ kind: 'unauthorized' })).toEqual({
    'www-authenticate': 'Bearer realm="ephemera"',
  });
  expect(headersOf({ kind: 'method_not_allowed', allow: 'GET' })).toEqual({ allow: 'GET' });
  for (const again of ['starting', 'store_unavailable', 'full'] as const) {
    const headers = headersOf({ kind: again, id: ID, limit: 'hosts' });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  }
  expect(headersOf({ kind: 'gone', id: ID, reason: 'ttl' })).toEqual({});
});

test('reason and faults have their own fields', () => {
  expect(problemOf({ kind: 'gone', id: ID, reason: 'oom' }).problem.reason).toBe('oom');
  const faults = [{ path: 'env.1a', detail: 'is not a valid variable name' }];
  expect(problemOf({ kind: 'invalid', faults }).problem.faults).toEqual(faults);
});

test('the answer does not repeat the input of the client', () => {
  const { problem } = problemOf({ kind: 'unknown_template', name: '<script>', known: ['demo'] });
  expect(JSON.stringify(problem)).not.toContain('script');
});
