import type { Hint, HintCode } from '@ephemera/domain';
import { addRights, byCost, identityOf, rightsIn, withoutRight } from './rights.ts';
import type { Right } from './rights.ts';

/** What one start of the image has shown. */
export type Outcome =
  /** It serves, after `tookMs` from its start. */
  | { readonly works: true; readonly tookMs: number }
  | {
      readonly works: false;
      /** What happened, with the last lines of the log. */
      readonly message: string;
      readonly hint?: Hint | undefined;
      /** The host refuses the start, whatever the template gives. */
      readonly isFinal?: boolean;
    };

/** Starts the image once. It serves within `maxMs`, or the attempt has failed. */
export type Attempt = (rights: readonly Right[], maxMs: number) => Promise<Outcome>;

export type SearchResult =
  | { readonly works: true; readonly rights: readonly Right[]; readonly attempts: number }
  | {
      readonly works: false;
      /** The changes of the last attempt. */
      readonly rights: readonly Right[];
      readonly attempts: number;
      readonly message: string;
      readonly hint: Hint | undefined;
    };

export interface SearchOptions {
  readonly attempt: Attempt;
  /** The steps where no hint names the next one, from the cheapest to the most costly. */
  readonly ladder: readonly (readonly Right[])[];
  /** The longest time for an attempt, ms. */
  readonly maxMs: number;
}

/** The start deadline of a template without `ready.within`, ms. */
const DEFAULT_WITHIN_MS = 30_000;
/** While changes are removed, an attempt has this much more time than the one that worked. */
const REMOVAL_TIME_FACTOR = 3;
const MIN_REMOVAL_MS = 8_000;
const MAX_ATTEMPTS = 60;

/** Causes that no line of a template cures. */
const HOPELESS: ReadonlySet<HintCode> = new Set(['wrong_platform', 'program_not_found']);

/**
 * Looks for the fewest rights with which an image serves. It adds the cure of each hint, or the next
 * step of the ladder, until the image serves. Then it removes each change that is not needed, the
 * most costly first. Before it climbs the ladder without a hint, it tries all steps at once: if they
 * do not help, no single one would.
 */
export async function searchRights({
  attempt,
  ladder,
  maxMs,
}: SearchOptions): Promise<SearchResult> {
  const known = new Map<string, Outcome>();
  const run = async (rights: readonly Right[], limitMs = Infinity): Promise<Outcome> => {
    const identity = identityOf(rights);
    const isLonger = rights.some(({ field }) => field === 'ready');
    const within = Math.min(maxMs, isLonger ? maxMs : DEFAULT_WITHIN_MS, limitMs);
    const outcome = known.get(identity) ?? (await attempt(rights, within));
    known.set(identity, outcome);
    return outcome;
  };
  const fail = (rights: readonly Right[], { message, hint }: Failure): SearchResult => {
    return { works: false, rights, attempts: known.size, message, hint };
  };

  let rights: readonly Right[] = [];
  let outcome = await run(rights);
  let isClimbing = false;
  while (!outcome.works) {
    const isHopeless = outcome.hint !== undefined && HOPELESS.has(outcome.hint.code);
    if (outcome.isFinal === true || isHopeless) return fail(rights, outcome);
    let next = cureOf(rights, outcome) ?? nextStep(rights, ladder);
    if (next === undefined || known.size >= MAX_ATTEMPTS) return fail(rights, outcome);
    if (cureOf(rights, outcome) === undefined && !isClimbing) {
      const all = addRights(rights, ladder.flat());
      const best = await run(all);
      if (!best.works) {
        next = cureOf(all, best);
        if (next === undefined) return fail(all, best.hint ? best : outcome.hint ? outcome : best);
      }
      isClimbing = best.works;
    }
    rights = next;
    outcome = await run(rights);
  }

  const limitMs = Math.max(MIN_REMOVAL_MS, outcome.tookMs * REMOVAL_TIME_FACTOR);
  // Again after each change that goes: another one may have needed it, such as a capability that
  // only root receives, and the parts of a profile are candidates too.
  for (let isReduced = true; isReduced;) {
    isReduced = false;
    for (const right of byCost(rights)) {
      const fewer = withoutRight(rights, right);
      if (!(await run(fewer, limitMs)).works) continue;
      rights = fewer;
      isReduced = true;
      if (right.field === 'profile') break;
    }
  }
  return { works: true, rights, attempts: known.size };
}

type Failure = Extract<Outcome, { works: false }>;

/** The changes with the cure of a hint. Undefined if there is none, or if it changes nothing. */
function cureOf(rights: readonly Right[], { hint }: Failure): Right[] | undefined {
  if (hint?.cure === undefined) return undefined;
  return ifChanged(rights, addRights(rights, rightsIn(hint.cure)));
}

function nextStep(
  rights: readonly Right[],
  ladder: readonly (readonly Right[])[],
): Right[] | undefined {
  for (const step of ladder) {
    const next = ifChanged(rights, addRights(rights, missing(rights, step)));
    if (next) return next;
  }
  return undefined;
}

/** A step does not lower what a hint has set already. */
function missing(rights: readonly Right[], step: readonly Right[]): Right[] {
  return step.filter(
    ({ field, key }) => !rights.some((right) => right.field === field && right.key === key),
  );
}

function ifChanged(before: readonly Right[], after: Right[]): Right[] | undefined {
  return identityOf(before) === identityOf(after) ? undefined : after;
}
