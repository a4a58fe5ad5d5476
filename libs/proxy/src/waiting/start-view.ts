import type { Instance, Route } from '@ephemera/domain';

/** The progress of a start as shown to a waiting visitor. */
export interface StartView {
  readonly step: 'pending' | 'creating' | 'pulling' | 'starting' | 'probing';
  /** A sentence for display. */
  readonly text: string;
  /** Progress from 0 to 100. It is an estimate for each step, not a measurement. */
  readonly percent: number;
}

type StartingRoute = Extract<Route, { state: 'pending' | 'starting' }>;

const PERCENT = { pending: 5, pulling: 20, creating: 60, starting: 65, probing: 85 };
/** The `creating` step is reported only after a pull, so a route without a step is creating. */
const BASE_PERCENT = 15;
/** How far a pull moves the bar, from its start to its end. */
const PULL = 40;

export function isStarting(route: Route | undefined): route is StartingRoute {
  return route?.state === 'pending' || route?.state === 'starting';
}

/** @param instance undefined where it could not be read */
export function viewStart(route: StartingRoute, instance: Instance | undefined): StartView {
  const step = route.state === 'pending' ? 'pending' : (route.step ?? 'creating');
  const usual = step === 'pending' ? 'Waiting for a host to start it.' : 'Creating the container.';
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
