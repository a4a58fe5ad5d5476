import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Docker from 'dockerode';
import { expect, onTestFinished, test } from 'vitest';

import { buildImage } from './build-image.ts';

const docker = new Docker();

/** A build context and a tag. Both are removed after the test. */
async function context(dockerfile: string) {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-build-'));
  const tag = `ephemera/build-test:${folder.split('-').at(-1)?.toLowerCase()}`;
  await writeFile(join(folder, 'Dockerfile'), dockerfile);
  await writeFile(join(folder, 'page'), 'one');
  onTestFinished(async () => {
    await rm(folder, { recursive: true });
    await docker
      .getImage(tag)
      .remove({ force: true })
      .catch(() => undefined);
  });
  const lines: string[] = [];
  const build = (args = {}) =>
    buildImage(docker, { context: folder, tag, args }, (line) => lines.push(line));
  return { folder, tag, lines, build };
}

test('an image is rebuilt only if its content changes', async () => {
  const { folder, tag, lines, build } = await context('FROM scratch\nARG A\nCOPY page /page\n');
  expect(await build()).toBe('built');
  expect(lines).toContain('Step 3/4 : COPY page /page');
  const { Id: first } = await docker.getImage(tag).inspect();

  lines.length = 0;
  expect(await build()).toBe('unchanged');
  expect(lines).toEqual([]);

  await writeFile(join(folder, 'page'), 'two');
  expect(await build()).toBe('built');
  expect((await docker.getImage(tag).inspect()).Id).not.toBe(first);
  await expect(docker.getImage(first).inspect()).rejects.toMatchObject({ statusCode: 404 });
  expect(await build({ A: '1' })).toBe('built');
  expect(await build({ A: '1' })).toBe('unchanged');
});

test('a new base image causes a rebuild of an unchanged folder', async () => {
  const base = await context('FROM scratch\nCOPY page /page\n');
  const { build } = await context('ARG BASE\nFROM ${BASE}\nCOPY page /other\n');
  await base.build();
  expect(await build({ BASE: base.tag })).toBe('built');
  await writeFile(join(base.folder, 'page'), 'two');
  await base.build();
  expect(await build({ BASE: base.tag })).toBe('built');
});

test('a failed step is reported with the daemon’s message', async () => {
  const { build } = await context('FROM scratch\nCOPY nothing /nothing\n');
  await expect(build()).rejects.toThrow(/COPY failed.*nothing/);
});
