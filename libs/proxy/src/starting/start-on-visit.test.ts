import { createSigningKeys, parseTemplates } from '@ephemera/config';
import { ApiError } from '@ephemera/domain';
import type { Failure, Principal } from '@ephemera/domain';
import type { CreateResult, CreationContext } from '@ephemera/lifecycle';
import type { NameRestart } from '@ephemera/store';
import { memoryInstances, sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import type { Starter } from './start-instance.ts';
import { createVisitStarts, readRestart, writeRestart } from './start-on-visit.ts';
import type { VisitPorts } from './start-on-visit.ts';

const keys = createSigningKeys(() => ['a-signing-key-of-at-least-32-characters']);
const noKeys = createSigningKeys(() => []);
const OF = { name: 'pr-1', owner: 'token:ci' };
const REQUEST = { template: 'demo', timeout: 60, env: { APP_A: '1' } };
const CI: Principal = { name: 'ci', scopes: ['create'] };

test('what a visit starts is bound to its name and owner by a signature', () => {
  const restart = writeRestart(keys, OF, REQUEST);
  expect(readRestart(keys, OF, restart)).toEqual(REQUEST);
  const altered = restart.replace('"demo"', '"root"');
  for (const [of, text] of [
    [OF, altered],
    [OF, writeRestart(noKeys, OF, REQUEST)],
    [{ ...OF, name: 'pr-2' }, restart],
    [{ ...OF, owner: 'token:other' }, restart],
  ] as const) {
    expect(readRestart(keys, of, text)).toBeUndefined();
  }
  expect(readRestart(noKeys, OF, writeRestart(noKeys, OF, REQUEST))).toEqual(REQUEST);
});

test('a request that is too long is refused, because Redis would hold one for each name', () => {
  const env = { A: 'x'.repeat(16_384) };
  expect(() => writeRestart(keys, OF, { ...REQUEST, env })).toThrow(ApiError);
});

interface FixtureOptions {
  readonly known?: NameRestart | undefined;
  readonly principal?: Principal | undefined;
  readonly template?: string;
  readonly limits?: string;
  readonly create?: () => Promise<CreateResult>;
  /** How many starts the rate of the token allows. */
  readonly points?: number;
}

/** Visits of a name of generation 7. `creations` records each creation. */
function fixture(options: FixtureOptions) {
  const creations: CreationContext[] = [];
  const warnings: unknown[] = [];
  const counted: string[] = [];
  const instances = memoryInstances();
  const { template = 'onVisit: start, envAllow: [APP_A]', limits = '' } = options;
  const known = { owner: OF.owner, generation: 7, restart: writeRestart(keys, OF, REQUEST) };
  let { points = 1 } = options;
  const starter = {
    instances,
    templates: parseTemplates(`templates: {demo: {image: a, port: 80, ${template}}}\n${limits}`),
    keys,
    urlOf: (id: string) => `http://localhost/demo/${id}/`,
    intake: {
      createOrQueue: async (
        draft: Parameters<typeof instances.create>[0],
        context: CreationContext,
      ) => {
        creations.push(context);
        if (options.create) return options.create();
        return { kind: 'created' as const, instance: await instances.create(draft) };
      },
      confirm: () => Promise.resolve(),
    },
    spawns: { add: () => Promise.resolve() },
  } as unknown as Starter;
  const logger = { info: () => undefined, warn: (fields: unknown) => void warnings.push(fields) };
  const ports = {
    ...{ starter, keys, logger },
    names: { readRestart: () => Promise.resolve('known' in options ? options.known : known) },
    rates: {
      take: (subject: string) => {
        counted.push(subject);
        return Promise.resolve({ allowed: points-- > 0, remaining: 0, resetsIn: 9 });
      },
    },
    tokens: {
      named: (name: string) =>
        name === 'ci' ? ('principal' in options ? options.principal : CI) : undefined,
    },
  } as unknown as VisitPorts;
  return { creations, warnings, counted, visit: createVisitStarts(ports) };
}

test('visits that arrive together are one start, for the owner of the name', async () => {
  const { visit, creations } = fixture({ limits: 'limits: {perToken: 3}' });
  const outcomes = await Promise.all([visit('pr-1', 7), visit('pr-1', 7), visit('pr-1', 7)]);
  expect(outcomes).toEqual(Array(3).fill({ kind: 'changed' }));
  expect(creations).toHaveLength(1);
  expect(creations[0]).toMatchObject({
    quotaOwner: { name: 'token:ci', limit: 'token', max: 3 },
    name: { name: 'pr-1', match: '7', owner: 'token:ci', isVisit: true },
  });
});

test('a refusal answers the visits of the next second without calls of Redis', async () => {
  let isFull = true;
  const instance = await memoryInstances().create(sampleDraft());
  const { visit, creations } = fixture({
    create: () =>
      Promise.resolve(isFull ? { kind: 'full', limit: 'token' } : { kind: 'created', instance }),
    points: 10,
  });
  for (let i = 0; i < 20; i++) expect(await visit('pr-1', 7)).toMatchObject({ kind: 'refused' });
  expect(creations).toHaveLength(1);
  isFull = false;
  await expect.poll(() => visit('pr-1', 7), { timeout: 10_000 }).toEqual({ kind: 'changed' });
});

test('a name that has changed meanwhile is read again', async () => {
  expect(await fixture({ known: undefined }).visit('pr-1', 7)).toEqual({ kind: 'changed' });
  const moved = fixture({});
  expect(await moved.visit('pr-1', 6)).toEqual({ kind: 'changed' });
  const raced = fixture({ create: () => Promise.resolve({ kind: 'unmatched', generation: 8 }) });
  expect(await raced.visit('pr-1', 7)).toEqual({ kind: 'changed' });
  expect(moved.creations).toEqual([]);
});

test.each<[string, FixtureOptions]>([
  [
    'no key has signed it',
    { known: { owner: OF.owner, generation: 7, restart: writeRestart(noKeys, OF, REQUEST) } },
  ],
  ['its token was removed', { principal: undefined }],
  ['its token may only read', { principal: { name: 'ci', scopes: ['read'] } }],
  ['the template has no onVisit any more', { template: 'envAllow: [APP_A]' }],
  ['the template does not allow its variables any more', { template: 'onVisit: start' }],
])('a visit starts nothing if %s, and the operator learns why', async (_, options) => {
  const { visit, creations, warnings } = fixture(options);
  expect(await visit('pr-1', 7)).toEqual({ kind: 'refused' });
  expect(creations).toEqual([]);
  expect(warnings).toHaveLength(1);
});

test('limits and the end of a crash loop are the answer to the visitor', async () => {
  const kindOf = async (create: FixtureOptions['create']): Promise<Failure | undefined> => {
    const outcome = await fixture({ ...(create && { create }) }).visit('pr-1', 7);
    return outcome.kind === 'refused' ? outcome.failure : undefined;
  };
  expect(await kindOf(() => Promise.resolve({ kind: 'full', limit: 'token' }))).toEqual({
    ...{ kind: 'full', limit: 'token' },
  });
  const crashing = { kind: 'crashing', id: 'a', reason: 'oom' } as const;
  expect(await kindOf(() => Promise.resolve(crashing))).toMatchObject({
    ...{ kind: 'gone', reason: 'oom', message: expect.stringContaining('crashed') as string },
  });
  const { visit, counted } = fixture({ limits: 'limits: {ratePerToken: 1/1m}' });
  await visit('pr-1', 7);
  // Not the count of the requests that the token itself sends.
  expect(counted).toEqual(['visits:token:ci']);
  await expect
    .poll(() => visit('pr-1', 7), { timeout: 10_000 })
    .toMatchObject({ failure: { kind: 'rate_limited', by: 'token', resetsIn: 9 } });
});
