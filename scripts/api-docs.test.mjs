import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const config = join(root, 'scripts/api-docs/typedoc.config.mjs');

/** Checks a module as an entry of the client, with the settings of the project. */
function check(text) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-docs-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const entry = join(folder, 'index.ts');
  const tsconfig = join(folder, 'tsconfig.json');
  const files = {
    'package.json': JSON.stringify({ name: '@ephemera/client', version: '1.0.0' }),
    'tsconfig.json': JSON.stringify({ compilerOptions: { types: [] }, files: ['index.ts'] }),
    'index.ts': text,
    'typedoc.config.mjs': `import config from ${JSON.stringify(config)};
export default { ...config, ...${JSON.stringify({ tsconfig, entryPoints: [entry] })}, intentionallyNotDocumented: [] };`,
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const typedoc = join(root, 'node_modules/typedoc/bin/typedoc');
  const args = [typedoc, '--options', join(folder, 'typedoc.config.mjs'), '--emit', 'none'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, output: `${stdout}${stderr}` };
}

test('an export without a description and a link that leads nowhere are found', () => {
  const { status, output } = check(`export interface Bare { a: string }
/** See {@link Missing}. */
export interface Linked { a: string }
/** Fine. */
export interface Good { a: string }
`);
  expect(status).not.toBe(0);
  expect(output).toMatch(/Bare .*does not have any documentation/);
  expect(output).toMatch(/Linked.*"Missing"|"Missing".*Linked/s);
  expect(output).not.toContain('Good');
});

test('an interface with descriptions passes', () => {
  expect(check('/** Fine. */\nexport interface Good { a: string }\n')).toEqual({
    status: 0,
    output: '',
  });
});
