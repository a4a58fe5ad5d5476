import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { readYaml } from '../libs/config/src/yaml-text.ts';
import { configurationPage, undescribedFields } from './reference/configuration.ts';
import { errorsPage } from './reference/errors.ts';
import { httpApiPage } from './reference/http-api.ts';
import { documentedMetrics } from './reference/metrics.ts';
import { membersOf } from './reference/type-members.ts';

const root = join(import.meta.dirname, '..');

test('every metric that the libraries declare is in the reference', () => {
  const files = execFileSync('git', ['grep', '-l', 'ephemera_', '--', 'libs/*/src/*.ts'], {
    cwd: root,
    encoding: 'utf8',
  });
  const declared = files
    .split('\n')
    .filter((path) => path !== '' && !path.endsWith('.test.ts'))
    .flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(/'(ephemera_\w+)'/g)])
    .map(([, name]) => name);
  expect(declared.length).toBeGreaterThan(5);
  expect([...new Set(documentedMetrics())].sort()).toEqual([...new Set(declared)].sort());
});

test('every setting and every field of the configuration file is described', () => {
  expect(undescribedFields()).toEqual([]);
});

test('the JSON Schema accepts the file of the project and refuses unknown fields', () => {
  const text = readFileSync(join(root, 'ephemera.yml'), 'utf8');
  const [, path] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
  const schema = z.fromJSONSchema(JSON.parse(readFileSync(join(root, path), 'utf8')));
  const { templates } = readYaml(text, z.looseObject({ templates: z.json() }), 'ephemera.yml');
  const accepts = (value) => schema.safeParse(value).success;
  expect(accepts({ templates, 'x-base': { a: 1 } })).toBe(true);
  expect(accepts({ templates, hooks: [] })).toBe(false);
  expect(accepts({ templates: { demo: { ...templates.demo, prot: 80 } } })).toBe(false);
  expect(accepts({ templates: { demo: { ...templates.demo, timeout: true } } })).toBe(false);
});

test('a setting has one heading, in the group of the processes that read it', () => {
  const page = configurationPage();
  const headings = page.match(/^#{3,4} .+$/gm) ?? [];
  expect(headings.filter((heading) => heading === '#### `EPHEMERA_REDIS_URL`')).toHaveLength(1);
  const at = (heading) => headings.indexOf(heading);
  expect(at('### Worker')).toBeLessThan(at('#### `EPHEMERA_SUBNET`'));
  expect(at('#### `EPHEMERA_SUBNET`')).toBeLessThan(at('### Dashboard'));
});

test('every kind of problem has a heading, a status and a next step', () => {
  const page = errorsPage();
  expect(page).toMatch(/## `host_unregistered`\n\n\*\*503 [^\n]+\n\nWhat to do: /);
});

test('the HTTP reference shows routes, their parameters and the fields of their bodies', () => {
  const page = httpApiPage();
  expect(page).toContain('#### `POST /v1/instances/{id}/renew`');
  expect(page).toContain('#### `GET /{prefix}/new`');
  expect(page).toContain('| `idempotency-key` | header |');
  expect(page).toMatch(/### Instance\n[^]*?\| `maxExpiresAt` \|/);
});

test('the members of a union are its strings and kinds, with their comments', () => {
  const folder = mkdtempSync(join(tmpdir(), 'reference-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'other.ts'), "export type Other = 'c' | 'd';");
  writeFileSync(
    join(folder, 'types.ts'),
    `import type { Other } from './other.ts';
export type Union =
  /** The first. */
  | 'a'
  | { readonly kind: 'b'; readonly id: string }
  | Other;`,
  );
  expect(membersOf(join(folder, 'types.ts'), 'Union')).toEqual([
    { value: 'a', comment: 'The first.' },
    { value: 'b', comment: '' },
    { value: 'c', comment: '' },
    { value: 'd', comment: '' },
  ]);
  expect(() => membersOf(join(folder, 'types.ts'), 'Missing')).toThrow('does not declare Missing');
});
