import { copyFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLogger } from '@ephemera/process';
import { watchTemplates } from './watch-templates.ts';

const withTimeout = (timeout: string) =>
  `templates: { demo: { image: ephemera/demo, port: 8080, timeout: ${timeout} } }`;

const eventually = (seen: () => number) => expect.poll(seen, { timeout: 30_000 });

/** A watched template file, and the logged errors. */
async function watched() {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-templates-'));
  const path = join(folder, 'ephemera.yml');
  await writeFile(path, withTimeout('10s'));
  const faults: unknown[] = [];
  const logger = createLogger('test', 'silent');
  logger.error = (fields: { faults: unknown }) => void faults.push(fields.faults);
  const templates = watchTemplates(path, logger);
  onTestFinished(async () => {
    templates.close();
    await rm(folder, { recursive: true });
  });
  return {
    folder,
    path,
    faults,
    templates,
    timeout: () => templates.current.defaultTemplate.timeout,
  };
}

test('a changed file is reloaded without a restart', async () => {
  const { path, timeout } = await watched();
  expect(timeout()).toBe(10_000);
  await writeFile(path, withTimeout('20s'));
  await eventually(timeout).toBe(20_000);
});

test('a file that an editor replaces twice is reloaded', async () => {
  const { folder, path, timeout } = await watched();
  for (const seconds of [20, 30]) {
    await writeFile(join(folder, 'new'), withTimeout(`${seconds}s`));
    await copyFile(path, join(folder, 'backup~'));
    await rename(join(folder, 'new'), path);
    await eventually(timeout).toBe(seconds * 1000);
  }
});

test('an invalid file is logged and changes nothing; once corrected, it is reloaded', async () => {
  const { path, timeout, faults } = await watched();
  await writeFile(path, 'templates: { demo: { image: ephemera/demo, prot: 8080 } }');
  await eventually(() => faults.length).toBe(1);
  expect(faults[0]).toEqual([
    {
      path: 'templates.demo.prot',
      detail: 'unknown field; docs/reference/configuration.md lists the known ones',
    },
    { path: 'templates.demo.port', detail: 'give either port or ports' },
  ]);
  expect(timeout()).toBe(10_000);
  await rm(path);
  await eventually(() => faults.length).toBe(2);
  expect(faults.at(-1)).toEqual([{ path: '', detail: 'cannot be read (ENOENT)' }]);
  expect(timeout()).toBe(10_000);
  await writeFile(path, withTimeout('40s'));
  await eventually(timeout).toBe(40_000);
});

test('SIGHUP reloads the file immediately', async () => {
  const { path, timeout } = await watched();
  await writeFile(path, withTimeout('50s'));
  process.emit('SIGHUP');
  expect(timeout()).toBe(50_000);
});
