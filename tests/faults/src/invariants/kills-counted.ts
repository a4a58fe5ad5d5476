import type { Invariant } from './snapshot.ts';

/** Kinds of repairs that end an instance. */
const ENDING = ['finish_drain', 'end', 'container_missing'];

/**
 * Every end of an instance is counted once, whatever caused it. This can be checked only while no
 * worker exits, because a worker loses its counters when it exits.
 */
export const killsCounted: Invariant = {
  name: 'every kill is counted once',
  broken: ({ events, metrics }) => {
    const assigned = new Set(events.filter(({ type }) => type === 'starting').map(({ id }) => id));
    const dead = events.filter(({ type, id }) => type === 'gone' && assigned.has(id)).length;
    const counted = metrics.reduce((sum, { text }) => sum + killsOf(text), 0);
    return counted === dead ? [] : [`${counted} kills counted, but ${dead} instances ended`];
  },
};

function killsOf(text: string): number {
  const series = /^ephemera_(kills|repairs)_total\{([^}]*)\} (\d+)$/gm;
  return [...text.matchAll(series)].reduce((sum, [, name, labels = '', value]) => {
    const kind = /kind="([^"]*)"/.exec(labels)?.[1] ?? '';
    return name === 'kills' || ENDING.includes(kind) ? sum + Number(value) : sum;
  }, 0);
}
