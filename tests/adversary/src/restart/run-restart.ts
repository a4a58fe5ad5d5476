import type { Options } from '../options.ts';
import { print } from '@ephemera/test-support';
import { isRestartWell } from '../verdicts.ts';
import { idleRace } from './idle-race.ts';
import { rollingRestart } from './rolling-restart.ts';

export async function runRestart(options: Options): Promise<boolean> {
  const result = await rollingRestart(options.count ?? 20);
  print(JSON.stringify(result, undefined, 2));
  return isRestartWell(result);
}

/** The balancer keeps idle connections for 60 s, like most. */
export async function runIdle(options: Options): Promise<boolean> {
  const result = await idleRace(options.count ?? 10_000, 60_000);
  print(JSON.stringify(result, undefined, 2));
  return Object.keys(result.outcomes).every((outcome) => outcome === '200');
}
