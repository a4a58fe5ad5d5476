import { withDeadline } from './docker/docker-client.ts';
import { CHECK_TIMEOUT_MS } from './limits.ts';

/**
 * The answer of a worker's `/readyz`: whether it takes jobs, and whether its services respond.
 * @param pings one call for each service
 */
export async function checkReadiness(
  running: boolean,
  pings: Readonly<Record<string, () => Promise<unknown>>>,
) {
  const checks = Object.entries(pings).map(async ([part, ping]) => {
    const answers = await withDeadline(part, CHECK_TIMEOUT_MS, ping()).then(
      () => true,
      () => false,
    );
    return [part, answers] as const;
  });
  const parts: Record<string, boolean> = {
    ...Object.fromEntries(await Promise.all(checks)),
    running,
  };
  return { ready: Object.values(parts).every(Boolean), parts };
}
