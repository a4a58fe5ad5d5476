import { parseTemplates } from '@ephemera/config';
import { hintFor } from '@ephemera/domain';
import type { Template } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { fileText, ladder, linesOf } from './rights.ts';
import { searchRights } from './search.ts';
import type { Attempt } from './search.ts';

const APP = { image: 'registry.example/acme/My_App:1.0', port: 80 };
const STEPS = ladder({ port: APP.port, within: '120s' });

interface Failed {
  readonly log: string;
  /** It still runs: the attempt lasts until its deadline. */
  readonly runs?: boolean;
}

/**
 * An image as a function of its template: the log with which it fails, or undefined if it serves
 * after `tookMs`.
 */
function imageThat(fails: (template: Template, maxMs: number) => Failed | undefined, tookMs = 100) {
  const files: string[] = [];
  const attempt: Attempt = (rights, maxMs) => {
    const file = fileText(APP, rights);
    files.push(file);
    const template = parseTemplates(file).defaultTemplate;
    const failed = fails(template, maxMs);
    if (!failed) return Promise.resolve({ works: true, tookMs });
    const log = failed.log.split('\n');
    const hint = hintFor({ log, template, ...(failed.runs !== true && { exitCode: 1 }) });
    return Promise.resolve({ works: false, message: failed.log, hint });
  };
  const search = async () => {
    const found = await searchRights({ attempt, ladder: STEPS, maxMs: 120_000 });
    return { ...found, lines: linesOf(found.rights).map(({ line }) => line) };
  };
  return { files, search };
}

const isRoot = ({ user }: Template) => user === undefined;
const has = (template: Template, name: string) =>
  template.profile === 'docker' || template.capAdd.includes(name);

test('an image that serves with the defaults gets no further line', async () => {
  const { search, files } = imageThat(() => undefined);
  expect(await search()).toMatchObject({ works: true, lines: [], attempts: 1 });
  expect(files[0]).toBe(
    'templates:\n  my-app:\n    image: registry.example/acme/My_App:1.0\n    port: 80\n',
  );
});

test('the cures of hints come first, one after another', async () => {
  const { search, files } = imageThat((template) => {
    for (const path of ['/var/log/app', '/run']) {
      if (template.readOnly && !(path in template.tmpfs))
        return { log: `open("${path}/pid") failed (30: Read-only file system)` };
    }
    return undefined;
  });
  const found = await search();
  expect(found).toMatchObject({ works: true });
  expect(found.lines).toEqual(['tmpfs: { /var/log/app: 64m, /run: 64m }']);
  expect(files.slice(0, 3).map((file) => /tmpfs.*/.exec(file)?.[0])).toEqual([
    undefined,
    'tmpfs: { /var/log/app: 64m }',
    'tmpfs: { /var/log/app: 64m, /run: 64m }',
  ]);
});

test('a cure that turns out not to be needed is taken back', async () => {
  // The denied file is a symptom: with the right user, no tmpfs is needed.
  const { search } = imageThat((template) => {
    if (isRoot(template)) return undefined;
    if (!('/data' in template.tmpfs)) return { log: 'open /data/db: read-only file system' };
    return { log: 'open /data/db: permission denied' };
  });
  expect((await search()).lines).toEqual(['user: image']);
});

test('without a hint, the steps of the ladder are taken together and then reduced', async () => {
  const { search, files } = imageThat((template) =>
    isRoot(template) && has(template, 'SETUID') ? undefined : { log: 'cannot start' },
  );
  const found = await search();
  expect(found.lines).toEqual(['user: image', 'capAdd: [SETUID]']);
  // The second start shows whether the ladder is worth climbing.
  expect(files[1]).toContain('profile: docker');
});

test('a change that had an effect only beside another one goes with it', async () => {
  // As root, it changes the owner of a file. As another user, it does not try to.
  const { search } = imageThat((template) => {
    if (!('/run' in template.tmpfs)) {
      const action = isRoot(template)
        ? '/run/pid: Read-only file system'
        : '/run/pid: Permission denied';
      return { log: `open ${action}` };
    }
    if (isRoot(template) && !has(template, 'CHOWN')) {
      return { log: 'chown(/run/pid) failed (1: Operation not permitted)' };
    }
    return undefined;
  });
  expect((await search()).lines).toEqual(['tmpfs: { /run: 64m }']);
});

test('changes are reduced until none can go, whatever the order', async () => {
  // Only the memory is missing. The tmpfs, of a warning, makes the user necessary.
  const { search } = imageThat(({ tmpfs, limits, user }) => {
    const hasTmpfs = '/data' in tmpfs;
    if (hasTmpfs && user !== undefined) return { log: 'open /data/x: permission denied' };
    if (limits.memory >= 512 * 1024 ** 2) return undefined;
    return { log: hasTmpfs ? 'out of memory' : 'open /data/x: read-only file system' };
  });
  expect((await search()).lines).toEqual(['limits: { memory: 512m }']);
});

test('a profile remains where its parts are not enough', async () => {
  const { search } = imageThat((template) =>
    has(template, 'MKNOD') && !template.readOnly ? undefined : { log: 'cannot start' },
  );
  expect((await search()).lines).toEqual(['profile: docker']);
});

test('limits grow as often as the log asks for it', async () => {
  const { search } = imageThat(({ limits }) =>
    limits.memory >= 2 * 1024 ** 3 ? undefined : { log: 'java.lang.OutOfMemoryError' },
  );
  expect((await search()).lines).toEqual(['limits: { memory: 2g }']);
});

test('an image that is only slow gets a longer deadline', async () => {
  const { search } = imageThat(
    (_, maxMs) => (maxMs >= 50_000 ? undefined : { log: 'loading', runs: true }),
    50_000,
  );
  expect((await search()).lines).toEqual(['ready: { within: 120s }']);
});

test('an image that never serves costs few starts, and keeps its last reason', async () => {
  const { search, files } = imageThat(() => ({ log: 'waiting for the moon', runs: true }));
  expect(await search()).toMatchObject({ works: false, message: 'waiting for the moon' });
  expect(files).toHaveLength(2);
});

test('a cause that no line cures ends the search at once', async () => {
  const { search, files } = imageThat(() => ({ log: 'exec /app: exec format error' }));
  expect(await search()).toMatchObject({ works: false, hint: { code: 'wrong_platform' } });
  expect(files).toHaveLength(1);
});

test('a cure that does not help does not repeat for ever', async () => {
  const { search, files } = imageThat(() => ({ log: 'open /etc/x: permission denied' }));
  expect(await search()).toMatchObject({ works: false, hint: { code: 'permission_denied' } });
  expect(files.length).toBeLessThan(8);
});

test('a hint may lead further where all steps together fail', async () => {
  const { search } = imageThat((template) => {
    if (isRoot(template) && (template.shmSize ?? 0) > 64 * 1024 ** 2) return undefined;
    return {
      log: isRoot(template) ? 'shm_open /dev/shm/x: No space left on device' : 'cannot start',
    };
  });
  expect((await search()).lines).toEqual(['user: image', 'shmSize: 256m']);
});

test('the printed file is accepted, and names each cost', () => {
  const rights = STEPS.flat().filter(({ field }) => field !== 'profile');
  const tmpfs = { field: 'tmpfs', key: '/a.b', value: { size: '64m', exec: true } };
  const env = { field: 'env', key: 'HOST', value: '0.0.0.0' };
  const text = fileText(APP, [...rights, tmpfs, env], true);
  const { defaultTemplate } = parseTemplates(text);
  expect(defaultTemplate).toMatchObject({
    user: undefined,
    readOnly: false,
    init: false,
    env: { HOST: '0.0.0.0' },
    limits: { memory: 1024 ** 3, pids: 512 },
    tmpfs: { '/a.b': { size: 64 * 1024 ** 2, exec: true } },
    ready: { kind: 'auto', within: 120_000 },
  });
  const lines = text.split('\n').filter((line) => /^ {4}(?!image|port)/.test(line));
  expect(lines.filter((line) => line.includes('# '))).toHaveLength(lines.length / 2);
});
