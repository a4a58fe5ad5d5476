import { type Invariant, liveOf } from './snapshot.ts';

/** The value of a series that has no labels of its own, or undefined if the series is missing. */
function valueOf(text: string, name: string): number | undefined {
  const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}

export const metricsAgree: Invariant = {
  name: 'metrics match the state',
  broken: (snapshot) => {
    const live = liveOf(snapshot).length;
    const wanted = {
      ephemera_instances: live,
      ephemera_requests_in_flight: 0,
      ephemera_tunnels_open: 0,
    };
    return snapshot.metrics.flatMap(({ app, text }) =>
      Object.entries(wanted).flatMap(([name, amount]) => {
        const value = valueOf(text, name);
        return value === undefined || value === amount
          ? []
          : [`${app} reports ${name} ${value}, expected ${amount}`];
      }),
    );
  },
};
