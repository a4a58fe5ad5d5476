import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (file) => readFileSync(join(root, file), 'utf8');
const manifest = JSON.parse(read('package.json'));

test('.nvmrc names the Node that npm installs', () => {
  const versions = new Set(Object.values(manifest.optionalDependencies));
  expect([...versions]).toEqual([read('.nvmrc').trim()]);
});

test('the coverage provider has the version of Vitest', () => {
  const { vitest, '@vitest/coverage-v8': provider } = manifest.devDependencies;
  expect(provider).toBe(vitest);
});

test('the workflows run existing scripts, including check and test', () => {
  const folder = '.github/workflows';
  const text = readdirSync(join(root, folder))
    .map((file) => read(join(folder, file)))
    .join('\n');
  const scripts = [...text.matchAll(/^ *- run:.*\bnpm (?:run )?(\S+)/gm)].map(([, name]) => name);
  expect(scripts).toEqual(expect.arrayContaining(['check', 'test']));
  for (const script of scripts) expect(manifest.scripts).toHaveProperty([script]);
});
