import { copyFile, mkdir, mkdtemp, open, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { TestContext } from 'vitest';
import { createLogger } from '@ephemera/process';
import { ConfigError } from './environment.ts';
import { requireFile, watchConfig } from './watch-config.ts';

const withTimeout = (timeout: string) =>
  `templates: { demo: { image: ephemera/demo, port: 8080, timeout: ${timeout} } }`;

/** `expect.poll` does not know which of the concurrent tests calls it. */
const eventually = <T>(seen: () => T, wanted: T) =>
  vi.waitFor(() => expect(seen()).toEqual(wanted), { timeout: 30_000, interval: 20 });

/** A watched template file, and the logged errors. */
async function watched({ onTestFinished }: Pick<TestContext, 'onTestFinished'>) {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-templates-'));
  const path = join(folder, 'ephemera.yml');
  await writeFile(path, withTimeout('10s'));
  const faults: unknown[] = [];
  const logger = createLogger('test', 'silent');
  logger.error = (fields: { faults: unknown }) => void faults.push(fields.faults);
  const templates = watchConfig(path, logger, (file) => requireFile(path, file));
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

// They only wait, each for its own file.
describe.concurrent('the file is polled:', () => {
  test('a changed file is reloaded without a restart', async (context) => {
    const { path, timeout } = await watched(context);
    expect(timeout()).toBe(10_000);
    await writeFile(path, withTimeout('20s'));
    await eventually(timeout, 20_000);
  });

  test('a file that an editor replaces twice is reloaded', async (context) => {
    const { folder, path, timeout } = await watched(context);
    for (const seconds of [20, 30]) {
      await writeFile(join(folder, 'new'), withTimeout(`${seconds}s`));
      await copyFile(path, join(folder, 'backup~'));
      await rename(join(folder, 'new'), path);
      await eventually(timeout, seconds * 1000);
    }
  });

  test('an invalid file is logged and changes nothing; once corrected, it is reloaded', async (context) => {
    const { path, timeout, faults } = await watched(context);
    await writeFile(path, 'templates: { demo: { image: ephemera/demo, prot: 8080 } }');
    await eventually(() => faults.length, 1);
    expect(faults[0]).toEqual([
      {
        path: 'templates.demo.prot',
        line: 1,
        detail: 'unknown field; docs/reference/configuration.md lists the known ones',
      },
      { path: 'templates.demo.port', line: 1, detail: 'give either port or ports' },
    ]);
    expect(timeout()).toBe(10_000);
    await rm(path);
    await eventually(() => faults.length, 2);
    expect(faults.at(-1)).toEqual([{ path: '', detail: 'cannot be read (ENOENT)' }]);
    expect(timeout()).toBe(10_000);
    await writeFile(path, withTimeout('40s'));
    await eventually(timeout, 40_000);
  });

  // Kubernetes replaces a symbolic link to a folder; the name of the file stays the same.
  test('a file behind a symbolic link that changes its target is reloaded', async (context) => {
    const { folder, path, timeout } = await watched(context);
    for (const seconds of [20, 30]) {
      const version = join(folder, `v${seconds}`);
      await mkdir(version);
      await writeFile(join(version, 'ephemera.yml'), withTimeout(`${seconds}s`));
      await rm(join(folder, 'next'), { force: true });
      await symlink(version, join(folder, 'next'));
      await rename(join(folder, 'next'), join(folder, 'data'));
      if (seconds === 20) {
        await rm(path);
        await symlink(join('data', 'ephemera.yml'), path);
      }
      await eventually(timeout, seconds * 1000);
    }
  });

  // A shorter prefix of the file is valid too, so a reader in mid-write would drop a template.
  test('a file that is being written is not applied before it is whole', async (context) => {
    const { path, templates } = await watched(context);
    const names = () => [...templates.current.templates.keys()];
    const seen: string[][] = [];
    templates.onChange(() => seen.push(names()));
    const file = await open(path, 'w');
    await file.write('templates:\n');
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      await file.write(`  ${name}: { image: a, port: 80 }\n`);
      await sleep(200);
    }
    await file.close();
    await eventually(names, ['a', 'b', 'c', 'd', 'e', 'f']);
    expect(seen).toEqual([['a', 'b', 'c', 'd', 'e', 'f']]);
  });

  test.for(['', 'templates: {a: {image: a', 'templates: {}', '- a', 'null', '\0'])(
    'the content %j changes nothing, and the errors are kept until the file is valid',
    async (text, context) => {
      const { path, timeout, templates } = await watched(context);
      await writeFile(path, text);
      await eventually(() => templates.issues.length > 0, true);
      expect(timeout()).toBe(10_000);
      await writeFile(path, withTimeout('10s'));
      await eventually(() => templates.issues.length, 0);
    },
  );

  test('a file that an app refuses changes nothing', async (context) => {
    const { path } = await watched(context);
    const logger = createLogger('test', 'silent');
    const refusing = watchConfig(path, logger, (file) => {
      const { timeout } = requireFile(path, file).defaultTemplate;
      if (timeout !== 10_000) throw new ConfigError(path, [{ path: 'x', detail: 'refused' }]);
      return timeout;
    });
    context.onTestFinished(() => refusing.close());
    await writeFile(path, withTimeout('20s'));
    await eventually(() => refusing.issues.length, 1);
    expect(refusing.current).toBe(10_000);
  });

  test('a file that did not exist at the start is read once it does', async (context) => {
    const { folder } = await watched(context);
    const path = join(folder, 'later.yml');
    const later = watchConfig(path, createLogger('test', 'silent'), (file) => file?.templates.size);
    context.onTestFinished(() => later.close());
    expect([later.current, later.issues]).toEqual([undefined, []]);
    await writeFile(path, withTimeout('10s'));
    await eventually(() => later.current, 1);
  });
});

// It signals every watcher of the process.
test('SIGHUP reloads the file immediately', async (context) => {
  const { path, timeout } = await watched(context);
  await writeFile(path, withTimeout('50s'));
  process.emit('SIGHUP');
  expect(timeout()).toBe(50_000);
});
