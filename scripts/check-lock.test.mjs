import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { PAIRS, formatTable, isOfLine } from './check-lock.mjs';
import { debianMirror, inDebianRoot } from './debian-root.mjs';
import { withInstallScript } from './lock-rules.mjs';
import { unproved } from './lock-smoke.mjs';

const root = join(import.meta.dirname, '..');

test('a version line matches whole numbers', () => {
  expect(isOfLine('v20.19.5', '20')).toBe(true);
  expect(isOfLine('10.8.3', '10.8')).toBe(true);
  expect(isOfLine('11.60.0', '11.6')).toBe(false);
  expect(isOfLine('v2.0.0', '20')).toBe(false);
});

test('the table has a line for each pair', () => {
  const rows = [
    { node: '18.20.4', npm: '9.2.0', install: 'ok', seconds: '31', problem: '' },
    { node: '24', npm: '11.6', install: 'FAILED', seconds: '2', problem: 'npm ci: code 1' },
  ];
  expect(formatTable(rows).split('\n')).toEqual([
    'node     npm    npm ci  seconds  failed',
    '18.20.4  9.2.0  ok      31',
    '24       11.6   FAILED  2        npm ci: code 1',
  ]);
});

test('the mirror is that of Debian itself, not of another origin', () => {
  const targets =
    'Other||http://a.test/\nDebian|Debian-Security|http://b.test/\nDebian|Debian|http://c.test/';
  expect(debianMirror(targets)).toBe('http://c.test/');
  expect(debianMirror('Ubuntu|Ubuntu|http://d.test/')).toBeUndefined();
});

test('a command in the Debian root has a network unless it is offline', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-root-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  expect(inDebianRoot(folder, ['/work'], ['true'])).not.toContain('--net');
  const offline = inDebianRoot(folder, ['/work'], ['npm', 'ci'], { isOffline: true });
  expect(offline).toContain('--net');
  expect(offline.slice(-2)).toEqual(['npm', 'ci']);
});

test('every package with an install script is used by the smoke test', () => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  expect(unproved(withInstallScript(lock))).toEqual([]);
  expect(unproved(['nx', 'new-native-package'])).toEqual(['new-native-package']);
});

test('the Node of the Dockerfile is among the proven pairs', () => {
  const images = readFileSync(join(root, 'Dockerfile'), 'utf8').match(/^FROM node:\d+/gm);
  const [pair] = PAIRS.filter(({ isDockerfile }) => isDockerfile);
  expect(new Set(images)).toEqual(new Set([`FROM node:${pair.node}`]));
});
