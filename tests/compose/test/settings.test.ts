import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

// What an operator sets beside the compose file must reach the process that reads it: one that is
// left out is no fault anywhere, and a range that was to be blocked stays open.

const root = join(import.meta.dirname, '../../..');

/** Settings that the compose file decides by itself. */
const DECIDED = new Set([
  'EPHEMERA_ADMIN_PORT',
  'EPHEMERA_UNREADY',
  'EPHEMERA_FIREWALL',
  'EPHEMERA_FIREWALL_IMAGE',
]);

/** Settings that it leaves as they are, or whose files would have to be mounted. */
const LEFT = new Set([
  'EPHEMERA_CONFIG',
  'EPHEMERA_HOST',
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

test.each(['proxy', 'worker', 'dashboard'])(
  'every setting of the %s is passed on',
  async (name) => {
    const source = await readFile(join(root, 'apps', name, 'src/config.ts'), 'utf8');
    const read = [...source.matchAll(/^ {2}(EPHEMERA_[A-Z_]+)[:,]/gm)].map(
      ([, found]) => found ?? '',
    );
    expect(read.length).toBeGreaterThan(5);
    const file = parse(await readFile(join(root, 'docker-compose.yml'), 'utf8'), {
      merge: true,
    }) as {
      services: Record<string, { environment: Record<string, string | number | null> }>;
    };
    const input = file.services[name]?.environment ?? {};
    // Without a value it is the operator's as it is; else it must be made of his.
    const isPassed = (text: string) =>
      input[text] === null || String(input[text]).includes(`\${${text}`);
    const isRight = (text: string) =>
      LEFT.has(text) || (text in input && (DECIDED.has(text) || isPassed(text)));
    expect(read.filter((text) => !isRight(text))).toEqual([]);
  },
);
