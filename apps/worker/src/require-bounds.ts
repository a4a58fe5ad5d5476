import type { Objections } from './guard-starts.ts';

/** The least of each bound that Docker and the kernel take for one, and not for none. */
const LEAST = { memory: 1, cpus: 0.01, pids: 1 } as const;

/** Speaks against a template without bounds, which no configuration has: Docker takes 0 for none. */
export const requireBounds: Objections = ({ limits }) =>
  Promise.resolve(
    Object.entries(LEAST)
      .filter(([name, least]) => {
        const given = limits[name as keyof typeof LEAST];
        return !(Number.isFinite(given) && given >= least);
      })
      .map(([name, least]) => `limits.${name}: must be at least ${least}`),
  );
