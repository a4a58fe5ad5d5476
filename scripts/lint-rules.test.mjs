import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { expect, test } from 'vitest';
import config from '../eslint.config.mjs';

/** Runs the project's own rules for a file. The last matching configuration wins. */
function violationsIn(file, code) {
  const rules = config
    .filter(({ files, rules }) => files && rules?.['no-restricted-syntax'])
    .map(({ files, rules }) => ({
      files,
      rules: { 'no-restricted-syntax': rules['no-restricted-syntax'] },
      languageOptions: { parser: tseslint.parser },
    }));
  return new Linter().verify(code, rules, { filename: file }).map(({ message }) => message);
}

const KEYS = 'Only libs/store builds Redis keys.';
const ENVIRONMENT = "Only an app's config.ts reads the environment.";

test.each([
  ['libs/worker/src/kill-worker.ts', 'redis.get(`{${namespace}}:route:${id}`);', [KEYS]],
  ['libs/worker/src/kill-worker.ts', "redis.get('{ephemera}:hosts');", [KEYS]],
  ['apps/proxy/src/config.ts', "redis.get('{ephemera}:hosts');", [KEYS]],
  ['libs/store/src/keys.ts', 'const base = `{${namespace}}:`;', []],
  ['libs/worker/src/kill-worker.ts', "log(`${id}: {a: 1}`, '{port}');", []],
  ['libs/worker/src/kill-worker.ts', "process.env['HOME'];", [ENVIRONMENT]],
  ['apps/cli/src/up/run-command.ts', 'process.env.HOME;', [ENVIRONMENT]],
  ['libs/store/src/keys.ts', 'process.env.HOME;', [ENVIRONMENT]],
  ['apps/worker/src/config.ts', 'process.env.HOME;', []],
  ['libs/worker/src/kill-worker.test.ts', "process.env.HOME; get('{ns}:hosts');", []],
])('%s: %s', (file, code, expected) => {
  expect(violationsIn(file, code)).toEqual(expected);
});
