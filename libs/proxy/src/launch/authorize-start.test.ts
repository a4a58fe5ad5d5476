import { createSigningKeys, parseTemplates } from '@ephemera/config';
import type { TokenEntries } from '@ephemera/config';
import { ApiError } from '@ephemera/domain';
import type { Failure, Principal, Template } from '@ephemera/domain';
import { createTokens, hashToken } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { sampleTemplate } from '@ephemera/test-support';
import type { Context } from 'koa';
import { describe, expect, test } from 'vitest';
import { writeLink } from '../starting/signed-link.ts';
import type { SignedLinkClaims } from '../starting/signed-link.ts';
import { auditStarts, authenticateStart, recordStart, requiredGrants } from './authorize-start.ts';
import type { StartCredentials } from './authorize-start.ts';
import { makeChallenge, readWork } from './proof-of-work.ts';

const NOW = 1_800_000_000_000;
const keys = createSigningKeys(() => ['k'.repeat(32)]);
/** The tokens of the configuration. A test may change them. */
let entries: Record<string, TokenEntries[string]> = {};
const own = (...scopes: TokenEntries[string]['scopes']) => ({ hash: [hashToken('x')], scopes });

const rules = {
  tokens: createTokens('the-admin-of-all-of-this', () => entries),
  keys,
  quotas: {
    ...parseTemplates('templates: { a: { image: a, port: 80 } }').quotas,
    perToken: 7,
    perAddress: 3,
  },
  now: () => Promise.resolve(NOW),
};
const VISITOR: StartCredentials = {
  principal: undefined,
  link: undefined,
  work: undefined,
  clientKey: '192.0.2.1',
};
const CLAIMS: SignedLinkClaims = {
  id: 'abc',
  by: 'course',
  template: 'demo',
  uses: 3,
  expiresAt: NOW + 1_000,
};

const withLink = (claims: Partial<SignedLinkClaims> = {}) =>
  authenticateStart(rules, { ...VISITOR, link: writeLink(keys, { ...CLAIMS, ...claims }) });

/** The failure with which a start is refused. */
async function refusal(start: Promise<unknown>): Promise<Failure | undefined> {
  try {
    await start;
    return undefined;
  } catch (error) {
    if (error instanceof ApiError) return error.failure;
    throw error;
  }
}

test('a link works as long as its token exists and may create', async () => {
  const ended = { kind: 'link_refused', reason: 'expired' };
  entries = { course: own('create') };
  expect(await withLink()).toMatchObject({ by: 'link:abc', countedBy: 'address', claims: CLAIMS });
  entries = { course: own('admin') };
  expect(await refusal(withLink())).toBeUndefined();
  // The operator has reduced the rights of the token, or removed it.
  entries = { course: own('read') };
  expect(await refusal(withLink())).toEqual(ended);
  entries = {};
  expect(await refusal(withLink())).toEqual(ended);
  entries = { course: own('create') };
  expect(await refusal(withLink({ by: 'constructor' }))).toEqual(ended);
  expect(await refusal(withLink({ expiresAt: NOW }))).toEqual(ended);
  expect(await refusal(authenticateStart(rules, { ...VISITOR, link: 'x.y' }))).toEqual({
    kind: 'link_refused',
    reason: 'invalid',
  });
});

test('a start counts against its token, the token of its link, or its address', async () => {
  entries = { course: own('create') };
  const token = { name: 'token:course', limit: 'token', max: 7 };
  expect((await withLink()).quotaOwner).toEqual(token);
  const principal: Principal = { name: 'course', scopes: ['create'] };
  expect(await authenticateStart(rules, { ...VISITOR, principal })).toEqual({
    quotaOwner: token,
    countedBy: 'token',
    by: 'token:course',
  });
  expect(await authenticateStart(rules, VISITOR)).toEqual({
    quotaOwner: { name: 'address:192.0.2.1', limit: 'address', max: 3 },
    countedBy: 'address',
    by: 'visitor',
  });
});

test('a token without the scope create is refused, and does not fall back to a visitor', async () => {
  const principal: Principal = { name: 'looker', scopes: ['read'] };
  expect(await refusal(authenticateStart(rules, { ...VISITOR, principal }))).toEqual({
    kind: 'forbidden',
    needs: 'create',
  });
});

const grantsOf = async (template: Partial<Template>, credentials: Partial<StartCredentials> = {}) =>
  requiredGrants(
    rules,
    { ...VISITOR, ...credentials },
    await authenticateStart(rules, { ...VISITOR, ...credentials }),
    sampleTemplate({ name: 'demo', ...template }),
  );

test('a link is redeemed for its own template, and for none that only tokens start', async () => {
  entries = { course: own('create') };
  const link = writeLink(keys, CLAIMS);
  const grant = { kind: 'link', name: 'link:abc', max: 3, expiresAt: CLAIMS.expiresAt };
  for (const create of ['open', 'link'] as const) {
    expect(await grantsOf({ create }, { link })).toEqual([grant]);
  }
  // A link replaces the proof of work.
  expect(await grantsOf({ proofOfWork: 8 }, { link })).toEqual([grant]);
  const invalid = { kind: 'link_refused', reason: 'invalid' };
  expect(await refusal(grantsOf({ create: 'token' }, { link }))).toEqual(invalid);
  expect(await refusal(grantsOf({ name: 'other' }, { link }))).toEqual(invalid);
});

test('visitors need what the template asks for, and tokens nothing', async () => {
  const principal: Principal = { name: 'course', scopes: ['create'] };
  for (const template of [{ create: 'token' }, { create: 'link' }, { proofOfWork: 8 }] as const) {
    expect(await grantsOf(template, { principal })).toEqual([]);
  }
  expect(await grantsOf({})).toEqual([]);
  expect(await refusal(grantsOf({ create: 'token' }))).toEqual({ kind: 'unauthorized' });
  expect(await refusal(grantsOf({ create: 'link' }))).toEqual({ kind: 'link_needed' });
  const needed = { kind: 'work_needed', bits: 8 };
  expect(await refusal(grantsOf({ proofOfWork: 8 }))).toMatchObject(needed);
  const task = { template: 'demo', bits: 8, clientKey: VISITOR.clientKey };
  const unsolved = `${makeChallenge(keys, task, NOW)}.`;
  expect(await refusal(grantsOf({ proofOfWork: 8 }, { work: unsolved }))).toMatchObject(needed);
});

test('without a signing key, a template with a proof of work starts for tokens only', async () => {
  const refused = requiredGrants(
    { ...rules, keys: createSigningKeys(() => []) },
    VISITOR,
    await authenticateStart(rules, VISITOR),
    sampleTemplate({ proofOfWork: 8 }),
  );
  expect(await refusal(refused)).toMatchObject({ kind: 'conflict' });
});

test('a solved proof of work is redeemed once', async () => {
  const task = { template: 'demo', bits: 8, clientKey: VISITOR.clientKey };
  const challenge = makeChallenge(keys, task, NOW);
  let work = '';
  for (let i = 0; !readWork(keys, work, task, NOW); i++) work = `${challenge}:${i}`;
  const nonce = challenge.split('.')[1];
  expect(await grantsOf({ proofOfWork: 8 }, { work })).toEqual([
    expect.objectContaining({ kind: 'work', name: `work:${nonce}`, max: 1 }),
  ]);
});

describe('audit', () => {
  /** The audit lines of one start that responds with `status`. */
  async function auditedBy(status: number, start: (ctx: Context) => void): Promise<object[]> {
    const lines: object[] = [];
    const info = (line: object) => void lines.push(line);
    const logger = { level: 'info', child: () => ({ info }) } as unknown as Logger;
    const ctx = {
      ...{ path: '/demo/new', state: {}, res: { statusCode: status } },
      req: { headers: {}, socket: { remoteAddress: '192.0.2.7' } },
    } as unknown as Context;
    const audit = auditStarts({ logger, addressOf: (req) => req.socket.remoteAddress ?? '' });
    await audit(ctx, () => {
      start(ctx);
      return Promise.resolve();
    });
    return lines;
  }

  test('a start with a token is audited with its name and its instance', async () => {
    const lines = await auditedBy(200, (ctx) => {
      recordStart(ctx, {});
      recordStart(ctx, { by: 'course' });
      recordStart(ctx, { id: 'an-id' });
    });
    expect(lines).toEqual([
      {
        ...{ by: 'course', action: 'instance.create', id: 'an-id', status: 200 },
        ...{ address: '192.0.2.7', result: 'done' },
      },
    ]);
  });

  test('an invalid token is audited, unless it is beyond the limit', async () => {
    const invalid = (ctx: Context) => recordStart(ctx, {});
    expect(await auditedBy(401, invalid)).toMatchObject([{ by: 'nobody', result: 'refused' }]);
    expect(await auditedBy(429, invalid)).toEqual([]);
    const limited = (ctx: Context) => recordStart(ctx, { by: 'course' });
    expect(await auditedBy(429, limited)).toMatchObject([{ by: 'course', result: 'failed' }]);
  });

  test('a start by a visitor is not audited', async () => {
    expect(await auditedBy(200, () => undefined)).toEqual([]);
  });
});
