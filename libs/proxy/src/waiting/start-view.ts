import type { Instance, Route } from '@ephemera/domain';

/** What whoever waits is shown of a start. */
export interface StartView {
  readonly step: 'pending' | 'creating' | 'pulling' | 'starting' | 'probing';
  /** For people: a sentence. */
  readonly text: string;
  /** How far along, 0 to 100: where the steps usually stand, not a measure. */
  readonly percent: number;
}

type StartingRoute = Extract<Route, { state: 'pending' | 'starting' }>;

const PERCENT = { pending: 5, pulling: 20, creating: 60, starting: 65, probing: 85 };
/** Creating begins without a word: it is told of only where a pull has come between. */
const BASE_PERCENT = 15;
/** How much of the bar a pull moves, from its start to its end. */
const PULL = 40;

export function isStarting(route: Route | undefined): route is StartingRoute {
  return route?.state === 'pending' || route?.state === 'starting';
}

/** @param instance undefined where it could not be read: the route alone says enough */
export function viewStart(route: StartingRoute, instance: Instance | undefined): StartView {
  const step = route.state === 'pending' ? 'pending' : (route.step ?? 'creating');
  const usual = step === 'pending' ? 'Waiting for a host to take it.' : 'Creating the container.';
  return { step, text: sentence(instance?.message ?? usual), percent: percentOf(route) };
}

function percentOf({ state, step, done = 0 }: StartingRoute): number {
  if (state === 'pending') return PERCENT.pending;
  if (step === undefined) return BASE_PERCENT;
  return Math.round(PERCENT[step] + (step === 'pulling' ? PULL * done : 0));
}

/** `queued at position 2 of 5` → `Queued at position 2 of 5.` */
function sentence(text: string): string {
  return text.replace(/^./, (first) => first.toUpperCase()).replace(/[^.]$/, '$&.');
}
