import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { expect, test } from 'vitest';
import { PACKAGES } from './publish/packages.mjs';

// The release workflow writes versions with the files in .github, and the notes from CHANGELOG.md.

const root = join(import.meta.dirname, '..');
const read = (file) => readFileSync(join(root, file), 'utf8');
const readJson = (file) => JSON.parse(read(file));

const { version } = readJson('package.json');
const manifests = globSync('{apps,libs,tests}/*/package.json', { cwd: root });
const { packages } = readJson('.github/release-please-config.json');
const extraFiles = packages['.']['extra-files'];

test('all packages of the workspace have the version of the release, and ask for it of each other', () => {
  expect(readJson('.github/release-please-manifest.json')).toEqual({ '.': version });
  const lock = readJson('package-lock.json');
  const all = [
    ...manifests.map(readJson),
    ...Object.entries(lock.packages)
      .filter(([path]) => !path.includes('node_modules'))
      .map(([, entry]) => entry),
  ];
  expect(all.length).toBeGreaterThan(2 * 20);
  for (const { version: own, dependencies, devDependencies } of all) {
    expect(own).toBe(version);
    const others = Object.entries({ ...dependencies, ...devDependencies });
    for (const [name, wanted] of others) {
      if (name.startsWith('@ephemera/')) expect(wanted).toBe(version);
    }
  }
});

test('a release changes the version and the dependencies of every package', () => {
  for (const file of [...manifests, 'package-lock.json']) {
    const paths = extraFiles
      .filter(({ path }) => matchesGlob(file, path))
      .map(({ jsonpath }) => jsonpath);
    expect(paths.filter((path) => path.endsWith('version'))).toHaveLength(1);
    expect(paths.filter((path) => path.includes('[dependencies,devDependencies]'))).toHaveLength(1);
  }
  // The folders of packages, as the path for the lock file expects them.
  for (const file of manifests)
    expect(file).toMatch(/^(apps|libs|tests)\/[a-z0-9]+\/package\.json$/);
});

test('the notes of a release are the first section of the changelog', () => {
  const workflow = read('.github/workflows/release.yml');
  const [, program = ''] = /awk '([^']+)' CHANGELOG\.md/.exec(workflow) ?? [];
  const notes = execFileSync('awk', [program, join(root, 'CHANGELOG.md')], { encoding: 'utf8' });
  expect(notes.split('\n')[0]).toMatch(new RegExp(`^## \\[?${version.replaceAll('.', '\\.')}\\b`));
  expect(notes.match(/^## /gm)).toHaveLength(1);
});

test('only the job that publishes may sign, and it publishes with a provenance statement', () => {
  const workflow = read('.github/workflows/release.yml');
  const [, prepare = '', publish = ''] = workflow.split(/^ {2}(?:prepare|publish):$/m);
  expect(prepare).not.toContain('id-token');
  expect(publish).toContain('id-token: write');
  expect(publish).toMatch(/npm publish "\$tarball" --provenance --access public/);
  expect(publish).toContain('npm run build:packages -- packages');
  expect(PACKAGES.map(({ name }) => name)).toEqual([
    '@ephemera/client',
    '@ephemera/embed',
    'ephemera',
  ]);
});
