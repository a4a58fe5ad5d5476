import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { readConfig, stateRoot, workspace } from '../config.ts';
import { writeScrapeTargets } from './scrape-targets.ts';

const targetsIn = (folder: string, file: string): unknown =>
  JSON.parse(readFileSync(join(folder, file), 'utf8'));

function writeInto(environment: NodeJS.ProcessEnv, ...plans: [number[], number[]][]): string {
  const stateFolder = mkdtempSync(join(tmpdir(), 'ephemera-targets-'));
  onTestFinished(() => rmSync(stateFolder, { recursive: true }));
  const config = { ...readConfig(environment), stateFolder };
  for (const [proxies, workers] of plans) writeScrapeTargets(config, { proxies, workers });
  return stateFolder;
}

test('every port with metrics is a target, and a later start replaces the files', () => {
  const folder = writeInto({}, [[8081, 8084], [8083]], [[9001], [9003, 9004]]);
  expect(targetsIn(folder, 'proxies.json')).toEqual([{ targets: ['127.0.0.1:9001'] }]);
  expect(targetsIn(folder, 'workers.json')).toEqual([
    { targets: ['127.0.0.1:9003', '127.0.0.1:9004'] },
  ]);
  expect(readdirSync(folder).sort()).toEqual(['proxies.json', 'workers.json']);
  expect(statSync(join(folder, 'proxies.json')).mode & 0o777).toBe(0o600);
});

test.each([
  ['0.0.0.0', '127.0.0.1:8081'],
  ['::1', '[::1]:8081'],
  ['10.0.0.5', '10.0.0.5:8081'],
])('for processes on %s, the target is %s', (EPHEMERA_ADMIN_HOST, target) => {
  const folder = writeInto({ EPHEMERA_ADMIN_HOST }, [[8081], []]);
  expect(targetsIn(folder, 'proxies.json')).toEqual([{ targets: [target] }]);
});

test('deploy/prometheus/local.yml reads the files of a start without other settings', () => {
  const folder = join(workspace, 'deploy/prometheus');
  const text = readFileSync(join(folder, 'local.yml'), 'utf8');
  const named = [...text.matchAll(/- files: \[(.+)\]/g)].map(([, file = '']) =>
    resolve(folder, file),
  );
  expect(named).toEqual([join(stateRoot, 'proxies.json'), join(stateRoot, 'workers.json')]);
  expect(readConfig({}).stateFolder).toBe(stateRoot);
  expect(text).not.toContain('static_configs');
});
