import type { Invariant } from './snapshot.ts';

/** Repairs that end an instance. */
const ENDING = ['finish', 'end', 'lost'];

/**
 * Every death is counted once, by whichever way it came about. Holds where every worker that ever
 * was still is: what a process has counted dies with it.
 */
export const killsCounted: Invariant = {
  name: 'every kill is counted once',
  broken: ({ events, metrics }) => {
    const begun = new Set(events.filter(({ type }) => type === 'starting').map(({ id }) => id));
    const dead = events.filter(({ type, id }) => type === 'gone' && begun.has(id)).length;
    const counted = metrics.reduce((sum, { text }) => sum + killsOf(text), 0);
    return counted === dead ? [] : [`${counted} are counted, and ${dead} have died`];
  },
};

function killsOf(text: string): number {
  const series = /^ephemera_(kills|repairs)_total\{([^}]*)\} (\d+)$/gm;
  return [...text.matchAll(series)].reduce((sum, [, name, labels = '', value]) => {
    const kind = /kind="([^"]*)"/.exec(labels)?.[1] ?? '';
    return name === 'kills' || ENDING.includes(kind) ? sum + Number(value) : sum;
  }, 0);
}
