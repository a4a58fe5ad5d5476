import { withDeadline } from './docker/deadline.ts';

/** How long a part may take to answer, milliseconds. */
const TIMEOUT_MS = 2_000;

/**
 * What `/readyz` of a worker tells: whether it takes jobs, and whether it reaches what it needs.
 * @param pings what each of those parts is asked
 */
export async function checkReadiness(
  running: boolean,
  pings: Readonly<Record<string, () => Promise<unknown>>>,
) {
  const inspectLimit = Object.entries(pings).map(async ([part, ping]) => {
    const answers = await withDeadline(part, TIMEOUT_MS, ping()).then(
      () => true,
      () => false,
    );
    return [part, answers] as const;
  });
  const parts: Record<string, boolean> = {
    ...Object.fromEntries(await Promise.all(inspectLimit)),
    running,
  };
  return { ready: Object.values(parts).every(Boolean), parts };
}
