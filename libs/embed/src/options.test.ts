import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@ephemera/config';
import { createLogger } from '@ephemera/process';
import { expect, onTestFinished, test } from 'vitest';
import { createEphemera } from './create-ephemera.ts';
import { readOptions } from './options.ts';
import type { EphemeraOptions } from './options.ts';

const VALID = {
  publicUrl: 'https://app.example.org/outer/',
  templates: { demo: { image: 'ephemera/demo', port: 8080 } },
} satisfies EphemeraOptions;

const logger = createLogger('test', 'silent');
const issuesOf = (options: unknown): string[] => {
  try {
    readOptions(options as EphemeraOptions);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ path, detail }) => `${path}: ${detail}`);
  }
  return [];
};

test('the defaults', () => {
  const { settings, openTemplates } = readOptions(VALID);
  expect(settings).toMatchObject({
    redis: { url: 'redis://127.0.0.1:6379/0' },
    publicUrl: 'https://app.example.org/outer',
    prefix: 'demo',
    namespace: 'ephemera',
    worker: undefined,
  });
  const { current, isFile } = openTemplates(logger, () => undefined);
  expect(isFile).toBe(false);
  expect(current.defaultTemplate).toMatchObject({ name: 'demo', timeout: 1_800_000 });
});

test.each([
  [{ docker: 'unix:///run/docker.sock' }, true],
  [{ docker: 'unix:///run/docker.sock', worker: false }, false],
  [{ worker: true }, true],
  [{ worker: { firewall: 'off' } }, true],
  [{}, false],
] as [Partial<EphemeraOptions>, boolean][])('%j: a worker here is %s', (more, has) => {
  expect(readOptions({ ...VALID, ...more }).settings.worker !== undefined).toBe(has);
});

test('Redis behind sentinels, which have a user of their own', () => {
  const url = 'redis-sentinel://app:secret@10.0.0.1,10.0.0.2:5000/main/0';
  const sentinel = { username: 'watcher', password: 'other', tls: { ca: 'PEM' } };
  const { settings } = readOptions({ ...VALID, redis: { url, sentinel } });
  expect(settings.redis).toEqual({ url, sentinel });
  expect(readOptions({ ...VALID, redis: url }).settings.redis).toEqual({ url });
  expect(issuesOf({ ...VALID, redis: 'redis-sentinel://10.0.0.1' })).toEqual([
    'redis: must name the master: redis-sentinel://HOST,HOST/MASTER/0',
  ]);
});

test('all errors are reported together', () => {
  expect(
    issuesOf({
      publicUrl: 'app.example.org',
      prefix: '/demo',
      redis: 'localhost:6379',
      trustedProxies: ['10.0.0.0/8', 'balancer'],
      signingKeys: ['short'],
      worker: { hostId: 'A', maxMemory: '1 GB' },
      templates: { demo: { image: 'a', port: 0 }, other: { image: 'b', port: 1, tineout: '5m' } },
      limits: { perOwner: 0 },
      colour: 'red',
    }),
  ).toEqual([
    'redis: must be a redis://, rediss://, redis-sentinel:// or rediss-sentinel:// address',
    'worker.hostId: must be lowercase letters, digits and hyphens, at most 63',
    'worker.maxMemory: must be a size such as 24g',
    'publicUrl: must be the http:// or https:// address of the application',
    'prefix: must be lowercase letters, digits and hyphens, without slashes',
    'signingKeys.0: each key must have at least 32 characters',
    'colour: unknown option',
    'trustedProxies.1: balancer is neither an address nor a CIDR',
    'templates.demo.port: must be a port from 1 to 65535',
    'templates.other.tineout: unknown field; docs/reference/configuration.md lists the known ones',
    'limits.perOwner: must be at least 1',
  ]);
});

test.each([
  [{ publicUrl: VALID.publicUrl }, /^templates: /],
  [{ ...VALID, templates: {} }, /^templates: must have at least one/],
  [{ ...VALID, default: 'none' }, /^default: "none" is not a template/],
])('%j is refused', (options, issue) => {
  expect(issuesOf(options)).toEqual(expect.arrayContaining([expect.stringMatching(issue)]));
});

// A process would replace the pools of all others in Redis.
test.each([
  ['pool', { pool: 2 }],
  ['schedule', { schedule: [{ cron: '0 8 * * *', ready: 2, for: '1h' }] }],
])('%s needs the file of the deployment', async (field, fields) => {
  const demo = { ...VALID.templates.demo, ...fields };
  expect(issuesOf({ ...VALID, templates: { demo } })).toEqual([
    expect.stringMatching(`^templates\\.demo\\.${field}: a pool belongs to the deployment`),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-embed-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'ephemera.yml');
  await writeFile(path, JSON.stringify({ templates: { demo } }));
  const templates = readOptions({ ...VALID, templates: path }).openTemplates(
    logger,
    () => undefined,
  );
  onTestFinished(() => templates.close());
  expect(templates.isFile).toBe(true);
  expect(templates.current.templates.has('demo')).toBe(true);
});

test('what the file has cannot be in the options too', () => {
  const given = { ...VALID, templates: 'ephemera.yml', limits: { perOwner: 1 }, default: 'demo' };
  expect(issuesOf(given)).toEqual([
    'default: belongs into the file that templates names',
    'limits: belongs into the file that templates names',
  ]);
});

test.each([
  ['the options', { ...VALID, prefix: '' }, 'prefix: must be'],
  [
    'the policy',
    { ...VALID, templates: { demo: { ...VALID.templates.demo, capAdd: ['SYS_ADMIN'] } } },
    'capAdd',
  ],
  ['a missing file', { ...VALID, templates: '/no/such/file.yml' }, 'cannot be read (ENOENT)'],
  [
    'a proof of work without keys',
    { ...VALID, templates: { demo: { ...VALID.templates.demo, proofOfWork: 8 } } },
    'proofOfWork',
  ],
  ['Redis', { ...VALID, redis: 'redis://127.0.0.1:1/0' }, 'Redis does not answer'],
])('createEphemera rejects for %s', async (_what, options, message) => {
  await expect(createEphemera({ logLevel: 'silent', ...options })).rejects.toThrow(message);
});
