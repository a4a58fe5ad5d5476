import { ApiError } from '@ephemera/domain';
import { ConfigError, createSigningKeys, parseKeys, parseTemplates } from '@ephemera/config';
import { expect, test } from 'vitest';
import { readLink, requireKeys, writeLink } from './signed-link.ts';
import type { SignedLinkClaims } from './signed-link.ts';

const [OLD, NEW] = ['old-0123456789abcdef0123456789abcdef', 'new-0123456789abcdef0123456789abcdef'];
const NOW = 1_800_000_000_000;
const claims: SignedLinkClaims = {
  id: 'abc',
  by: 'lms',
  template: 'demo',
  timeout: 60,
  uses: 3,
  expiresAt: NOW + 1000,
};
const keys = createSigningKeys(() => [OLD]);

const refusalOf = (link: string, by = keys, now = NOW) => {
  try {
    readLink(by, link, now);
    return undefined;
  } catch (error) {
    return error instanceof ApiError && error.failure.kind === 'link_refused'
      ? error.failure.reason
      : error;
  }
};

test('a link returns its claims until it expires', () => {
  const link = writeLink(keys, claims);
  expect(readLink(keys, link, NOW)).toEqual(claims);
  expect(refusalOf(link, keys, NOW + 1000)).toBe('expired');
});

test('a link with a changed field or another signature is refused', () => {
  const link = writeLink(keys, claims);
  const [text = '', signature = ''] = link.split('.');
  const altered = (change: Partial<SignedLinkClaims>) =>
    Buffer.from(JSON.stringify({ ...claims, ...change })).toString('base64url');
  for (const bad of [
    `${altered({ uses: 1000 })}.${signature}`,
    `${altered({ template: 'other' })}.${signature}`,
    `${altered({ expiresAt: NOW * 2 })}.${signature}`,
    `${altered({ by: 'admin' })}.${signature}`,
    `${altered({ id: 'abd' })}.${signature}`,
    // Another spelling of the same link would count as another link where links are counted by
    // text.
    `${text}=.${signature}`,
    `${text}.${signature}=`,
    `${text}.${signature.slice(0, -1)}`,
    `${text}.${signature.toUpperCase()}`,
    `${text}.${signature}.x`,
    `${text}.`,
    `.${signature}`,
    text,
    '',
    `${text}.${keys.sign('work', text)}`,
    writeLink(
      createSigningKeys(() => [NEW]),
      claims,
    ),
  ]) {
    expect(refusalOf(bad), bad).toBe('invalid');
  }
});

test('every key verifies, and the first signs', () => {
  const [before, both, after] = [[OLD], [NEW, OLD], [NEW]].map((of) => createSigningKeys(() => of));
  if (!before || !both || !after) throw new Error('three key sets expected');
  const old = writeLink(before, claims);
  const fresh = writeLink(both, claims);
  expect(refusalOf(old, both)).toBe(undefined);
  expect(refusalOf(fresh, after)).toBe(undefined);
  expect(refusalOf(fresh, before)).toBe('invalid');
  expect(refusalOf(old, after)).toBe('invalid');
});

test('keys are parsed from text, and short keys are refused', () => {
  expect(parseKeys(`${NEW},\n${OLD}\n`, 'X')).toEqual([NEW, OLD]);
  for (const text of ['', ' \n', ',']) {
    expect(() => parseKeys(text, 'X')).toThrow(/contains no key.*Make a key/);
  }
  expect(createSigningKeys(() => []).hasKeys).toBe(false);
  expect(
    refusalOf(
      writeLink(keys, claims),
      createSigningKeys(() => []),
    ),
  ).toBe('invalid');
  expect(() => parseKeys(`${NEW},short`, 'X')).toThrow(ConfigError);
});

test('a forgotten key is explained with the command that makes one', () => {
  const set = parseTemplates('templates: {a: {image: a, port: 80, proofOfWork: 8}}');
  const refused = () =>
    requireKeys(
      set,
      createSigningKeys(() => []),
    );
  expect(refused).toThrow(ConfigError);
  const templateOnly = parseTemplates('templates: {a: {image: a, port: 80}}');
  for (const [templates, of] of [
    [set, [OLD]],
    [templateOnly, []],
  ] as const) {
    expect(() =>
      requireKeys(
        templates,
        createSigningKeys(() => [...of]),
      ),
    ).not.toThrow();
  }
  expect(refused).toThrow(
    /EPHEMERA_SIGNING_KEYS: must be set.* template a has proofOfWork\. Make a key with: node -p/,
  );
  expect(() => parseKeys('short', 'EPHEMERA_SIGNING_KEYS')).toThrow(/32 characters\. Make a key/);
});

test('what visitors may do with a public instance needs a key too', () => {
  const check = (fields: string) => () =>
    requireKeys(
      parseTemplates(`templates: {a: {image: a, port: 80, ${fields}}}`),
      createSigningKeys(() => []),
    );
  expect(check('visitor: {renew: 5m}')).toThrow(/template a has visitor\.renew\./);
  expect(check('visitor: {end: true}')).toThrow(/template a has visitor\.end\./);
  expect(check('visitor: {expiresHeader: true}')).not.toThrow();
  expect(check('access: token, visitor: {end: true}')).not.toThrow();
});
