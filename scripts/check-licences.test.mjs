import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { isAllowed, refusedLicences } from './check-licences.mjs';

const root = join(import.meta.dirname, '..');

test.each([
  ['MIT', true],
  ['(MIT OR GPL-3.0-only)', true],
  ['GPL-3.0-only OR Apache-2.0', true],
  ['MIT AND ISC', true],
  ['MIT AND GPL-3.0-only', false],
  ['GPL-3.0-only', false],
  ['AGPL-3.0-or-later', false],
  ['MITX', false],
  ['SEE LICENSE IN LICENSE', false],
  ['UNLICENSED', false],
  ['(MIT OR (GPL-3.0-only AND ISC))', false],
  ['(MIT OR ISC) AND (GPL-3.0-only)', false],
  ['((MIT) AND GPL-3.0-only)', false],
  ['', false],
])('the licence %j: %j', (expression, expected) => {
  expect(isAllowed(expression)).toBe(expected);
});

/** A workspace with these packages in its lock file, and these package.json files installed. */
function workspace(locked, installed) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-licences-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const packages = { '': { name: 'root' }, ...locked };
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages }));
  for (const [name, manifest] of Object.entries(installed)) {
    mkdirSync(join(folder, 'node_modules', name), { recursive: true });
    writeFileSync(join(folder, 'node_modules', name, 'package.json'), JSON.stringify(manifest));
  }
  return folder;
}

test('production packages with another licence, or none, are named', () => {
  const folder = workspace(
    {
      'libs/own': { version: '1.0.0' },
      'node_modules/own': { link: true },
      'node_modules/free': { version: '1.0.0', license: 'MIT' },
      'node_modules/old': { version: '1.0.0' },
      'node_modules/copyleft': { version: '2.0.0', license: 'MIT' },
      'node_modules/free/node_modules/silent': { version: '3.0.0' },
      'node_modules/other-platform': { version: '4.0.0', license: 'SSPL-1.0', optional: true },
      'node_modules/tool': { version: '5.0.0', license: 'GPL-3.0-only', dev: true },
    },
    {
      free: { license: 'MIT' },
      old: { licenses: [{ type: 'MIT', url: 'x' }] },
      copyleft: { license: 'GPL-3.0-only' },
      'free/node_modules/silent': {},
    },
  );
  expect(refusedLicences(folder)).toEqual([
    'node_modules/copyleft@2.0.0: GPL-3.0-only',
    'node_modules/free/node_modules/silent@3.0.0: no licence is named',
    'node_modules/other-platform@4.0.0: SSPL-1.0',
  ]);
});

test('the packages of the product pass', () => {
  const checked = spawnSync(process.execPath, [join(root, 'scripts/check-licences.mjs')]);
  expect([checked.status, checked.stderr.toString()]).toEqual([0, '']);
});

test('the bill of materials lists every package of the lock file, and marks those for development', () => {
  const text = execFileSync('npm', ['run', '--silent', 'sbom'], { cwd: root, encoding: 'utf8' });
  const bom = JSON.parse(text);
  expect(bom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.5' });
  const purlsOf = (components) => new Set(components.map(({ purl }) => decodeURIComponent(purl)));
  const listed = purlsOf(bom.components);
  const marked = purlsOf(
    bom.components.filter(({ properties = [] }) =>
      properties.some(({ name }) => name === 'cdx:npm:package:development'),
    ),
  );
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const external = Object.entries(packages).filter(([path]) => path.includes('node_modules/'));
  const purlOf = ([path, { name = path.split('node_modules/').at(-1), version }]) =>
    `pkg:npm/${name}@${version}`;
  const production = external.filter(([, { dev, link }]) => !dev && !link).map(purlOf);
  expect(production.length).toBeGreaterThan(100);
  expect(production.filter((purl) => !listed.has(purl))).toEqual([]);
  const development = external.filter(([, { dev }]) => dev).map(purlOf);
  // npm lists a version once. If it is installed twice, only one copy decides about the mark.
  expect(production.filter((purl) => marked.has(purl) && !development.includes(purl))).toEqual([]);
  expect(development.filter((purl) => !marked.has(purl) && !production.includes(purl))).toEqual([]);
}, 60_000);
