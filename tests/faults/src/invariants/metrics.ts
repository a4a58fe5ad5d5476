import { type Invariant, liveOf } from './snapshot.ts';

/** The value of a series without labels of its own; undefined where there is none. */
function valueOf(text: string, name: string): number | undefined {
  const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}

export const metricsAgree: Invariant = {
  name: 'metrics agree with what is there',
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
          : [`${app} says ${name} ${value}, and there are ${amount}`];
      }),
    );
  },
};
