import * as crypto from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@ephemera/process';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { ConfigError } from './environment.ts';
import { createSigningKeys, parseKeys, watchKeys } from './signing-keys.ts';
import type { KeyPurpose } from './signing-keys.ts';

vi.mock('node:crypto', async (original) => {
  const actual = await original<typeof crypto>();
  return {
    ...actual,
    timingSafeEqual: vi.fn(actual.timingSafeEqual),
    hkdfSync: vi.fn(actual.hkdfSync),
  };
});
const compare = vi.mocked(crypto.timingSafeEqual);
const derive = vi.mocked(crypto.hkdfSync);
beforeEach(() => {
  compare.mockClear();
  derive.mockClear();
});

const [OLD, NEW] = ['old', 'new'].map((name) => name.padEnd(32, '-')) as [string, string];
const PURPOSES: readonly KeyPurpose[] = ['link', 'work', 'start', 'pool', 'access'];

/** A logger that records its messages. */
function recording() {
  const messages: unknown[] = [];
  const record = (fields: unknown, message: unknown) => void messages.push([message, fields]);
  return { messages, logger: { info: record, error: record } as unknown as Logger };
}

test('a signature is valid for its text and its purpose only', () => {
  const keys = createSigningKeys(() => [OLD]);
  for (const purpose of PURPOSES) {
    const signature = keys.sign(purpose, 'text');
    expect(keys.hasSigned(purpose, 'text', signature)).toBe(true);
    expect(keys.hasSigned(purpose, 'text\n', signature)).toBe(false);
    for (const other of PURPOSES.filter((name) => name !== purpose)) {
      expect(keys.hasSigned(other, 'text', signature), `${purpose} for ${other}`).toBe(false);
    }
  }
});

// A client may obtain signatures of chosen link texts. Workers accept starts and pools by a derived
// key, so that no text of a link is a signature of a start.
test('what workers accept is signed with another key than what clients get', () => {
  const [key, other] = [createSigningKeys(() => [OLD]), createSigningKeys(() => [NEW])];
  const plain = (purpose: string) =>
    crypto.createHmac('sha256', OLD).update(`ephemera ${purpose}\ntext`).digest('base64url');
  expect(key.hasSigned('link', 'text', plain('link'))).toBe(true);
  expect(key.hasSigned('work', 'text', plain('work'))).toBe(true);
  expect(key.hasSigned('start', 'text', plain('start'))).toBe(false);
  expect(key.hasSigned('pool', 'text', plain('pool'))).toBe(false);
  expect(key.hasSigned('access', 'text', plain('access'))).toBe(false);
  expect(other.sign('start', 'text')).not.toBe(key.sign('start', 'text'));
});

test('each key signs, the first one first', () => {
  const [old, both] = [createSigningKeys(() => [OLD]), createSigningKeys(() => [NEW, OLD])];
  expect(both.signByEach('access', 'a')).toEqual([
    both.sign('access', 'a'),
    old.sign('access', 'a'),
  ]);
  expect(createSigningKeys(() => []).signByEach('access', 'a')).toEqual([]);
});

test('every key is compared in constant time, whether or not an earlier one matches', () => {
  const keys = createSigningKeys(() => [NEW, OLD]);
  for (const signature of [keys.sign('link', 'a'), '', 'x', 'x'.repeat(500)]) {
    compare.mockClear();
    keys.hasSigned('link', 'a', signature);
    expect(compare).toHaveBeenCalledTimes(2);
  }
});

// A request may carry many forged signatures, and deriving a key is slow.
test('each key is derived once, and again only after it was removed', () => {
  let current = [OLD];
  const keys = createSigningKeys(() => current);
  const signature = keys.sign('visitor', 'a');
  for (let i = 0; i < 100; i++) expect(keys.hasSigned('visitor', `${i}`, signature)).toBe(false);
  expect(derive).toHaveBeenCalledTimes(1);
  current = [NEW, OLD];
  expect(keys.hasSigned('visitor', 'a', signature)).toBe(true);
  expect(keys.sign('visitor', 'a')).not.toBe(signature);
  expect(derive).toHaveBeenCalledTimes(2);
  current = [NEW];
  expect(keys.hasSigned('visitor', 'a', signature)).toBe(false);
  expect(derive).toHaveBeenCalledTimes(2);
  for (const key of ['third', OLD]) {
    current = [key.padEnd(32, '-')];
    keys.sign('visitor', 'a');
  }
  expect(derive).toHaveBeenCalledTimes(4);
});

test('without a key nothing can be signed, and nothing is genuine', () => {
  const keys = createSigningKeys(() => []);
  expect(keys.hasKeys).toBe(false);
  expect(() => keys.sign('link', 'a')).toThrow('no key');
  expect(keys.hasSigned('link', 'a', '')).toBe(false);
});

test('a key has at least 32 characters', () => {
  expect(parseKeys('x'.repeat(32), 'X')).toEqual(['x'.repeat(32)]);
  const refused = (text: string) => {
    try {
      return parseKeys(text, 'X');
    } catch (error) {
      return error instanceof ConfigError ? error.faults.map(({ detail }) => detail) : error;
    }
  };
  const short = /^each key must have at least 32 characters\. Make a key with: node -p /;
  expect(refused('x'.repeat(31))).toEqual([expect.stringMatching(short)]);
  // One short key among long ones would be as weak as no key.
  expect(refused(`${NEW},short`)).toEqual([expect.stringMatching(short)]);
  for (const none of ['', ' , \n']) {
    expect(refused(none)).toEqual([expect.stringMatching(/^contains no key; each key must /)]);
  }
  expect(parseKeys(` ${NEW} ,\n\n${OLD},`, 'X')).toEqual([NEW, OLD]);
});

test('keys of the environment are fixed; without any, there is none', () => {
  const { logger } = recording();
  const own = watchKeys({ keys: `${NEW},${OLD}`, file: undefined }, logger);
  expect(own.sign('link', 'a')).toBe(createSigningKeys(() => [NEW]).sign('link', 'a'));
  own.close();
  expect(watchKeys({ keys: undefined, file: undefined }, logger).hasKeys).toBe(false);
  expect(() => watchKeys({ keys: 'short', file: undefined }, logger)).toThrow(
    'EPHEMERA_SIGNING_KEYS',
  );
});

test('a key file is read again when it changes, and an invalid one changes nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-keys-'));
  const file = join(folder, 'keys');
  const { logger, messages } = recording();
  expect(() => watchKeys({ keys: undefined, file }, logger)).toThrow('cannot be read (ENOENT)');
  expect(() => watchKeys({ keys: undefined, file }, logger)).toThrow('EPHEMERA_SIGNING_KEYS_FILE');
  await writeFile(file, `${OLD}\n`);
  let reloads = 0;
  const watched = watchKeys({ keys: undefined, file }, logger, () => reloads++);
  onTestFinished(async () => {
    watched.close();
    await rm(folder, { recursive: true });
  });
  const before = watched.sign('link', 'a');
  await writeFile(file, 'short');
  await expect.poll(() => messages.length, { timeout: 30_000 }).toBe(1);
  expect(messages).toEqual([
    [
      'signing keys invalid, keeping the previous ones',
      { faults: [expect.objectContaining({ path: 'EPHEMERA_SIGNING_KEYS_FILE' })] },
    ],
  ]);
  expect([reloads, watched.hasKeys, watched.hasSigned('link', 'a', before)]).toEqual([
    0,
    true,
    true,
  ]);
  await writeFile(file, `${NEW}\n${OLD}\n`);
  await expect.poll(() => reloads, { timeout: 30_000 }).toBe(1);
  expect(messages.at(-1)).toEqual(['signing keys reloaded', { keys: 2 }]);
  expect(watched.sign('link', 'a')).not.toBe(before);
  expect(watched.hasSigned('link', 'a', before)).toBe(true);
});

// Workers and proxies of different versions share the keys, and instances outlive an update.
test('signatures of one version are valid in the next', () => {
  const keys = createSigningKeys(() => [OLD]);
  const derived = crypto.hkdfSync('sha256', OLD, '', 'ephemera internal signatures', 32);
  const expected = crypto
    .createHmac('sha256', new Uint8Array(derived))
    .update('ephemera start\ntext')
    .digest('base64url');
  expect(keys.sign('start', 'text')).toBe(expected);
});
