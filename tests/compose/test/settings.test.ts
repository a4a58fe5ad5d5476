import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

// Settings of the operator must reach the process that reads them. A setting that the compose file
// omits would be ignored without an error, for example a blocked address range.

const root = join(import.meta.dirname, '../../..');

/** Settings whose value the compose file determines. */
const DECIDED = new Set([
  'EPHEMERA_ADMIN_PORT',
  'EPHEMERA_UNREADY',
  'EPHEMERA_FIREWALL',
  'EPHEMERA_FIREWALL_IMAGE',
  'EPHEMERA_HOST_LISTEN',
]);

/** Settings that the compose file does not pass on, or whose files would need a mount. */
const LEFT = new Set([
  'EPHEMERA_CONFIG',
  'EPHEMERA_DOCKER_CONFIG',
  'EPHEMERA_HOST',
  'EPHEMERA_HOST_ADVERTISE',
  'EPHEMERA_ADMIN_HOST',
  'EPHEMERA_WORKER_PORT',
  'EPHEMERA_DASHBOARD_PORT',
  'EPHEMERA_ADMIN_TOKEN_FILE',
  'EPHEMERA_REDIS_URL_FILE',
  'EPHEMERA_SIGNING_KEYS_FILE',
  'EPHEMERA_THEME_FILE',
  'EPHEMERA_SUBNET',
  'EPHEMERA_BRIDGE',
  'EPHEMERA_REDIS_CA',
  'EPHEMERA_REDIS_CERT',
  'EPHEMERA_REDIS_KEY',
]);

const TRACING = ['libs/config/src/tracing-config.ts'];

test.each([
  ['proxy', TRACING],
  ['worker', TRACING],
  ['dashboard', []],
] as const)('passes every setting to the %s', async (name, more) => {
  const files = [`apps/${name}/src/config.ts`, ...more];
  const sources = await Promise.all(files.map((file) => readFile(join(root, file), 'utf8')));
  const read = [...sources.join('\n').matchAll(/^ {2}((?:EPHEMERA|OTEL)_[A-Z_]+)[:,]/gm)].map(
    ([, found]) => found ?? '',
  );
  expect(read.length).toBeGreaterThan(5);
  const file = parse(await readFile(join(root, 'docker-compose.yml'), 'utf8'), {
    merge: true,
  }) as {
    services: Record<string, { environment: Record<string, string | number | null> }>;
  };
  const input = file.services[name]?.environment ?? {};
  // Without a value, compose passes the variable of the operator. Otherwise the value must
  // contain it.
  const isPassed = (text: string) =>
    input[text] === null || String(input[text]).includes(`\${${text}`);
  const isRight = (text: string) =>
    LEFT.has(text) || (text in input && (DECIDED.has(text) || isPassed(text)));
  expect(read.filter((text) => !isRight(text))).toEqual([]);
});

test.each(['EPHEMERA_REDIS_PASSWORD', 'EPHEMERA_ADMIN_TOKEN'])(
  'refuses to start without %s, or with an empty one',
  async (name) => {
    const text = await readFile(join(root, 'docker-compose.yml'), 'utf8');
    const uses = text.split('\n').filter((line) => line.includes(`\${${name}`));
    expect(uses.length).toBeGreaterThan(1);
    for (const use of uses) expect(use).toContain(`\${${name}:?`);
  },
);

// Every user of the machine can read the command lines of its processes.
test('no secret is part of a command', async () => {
  const file = parse(await readFile(join(root, 'docker-compose.yml'), 'utf8'), {
    merge: true,
  }) as { services: Record<string, { command?: string[] }> };
  for (const { command = [] } of Object.values(file.services)) {
    expect(command.join(' ')).not.toMatch(/(?<!\$)\$\{?\w*(?:PASSWORD|TOKEN|KEY)/);
  }
});
