import type { ChurnResult } from './churn/churn.ts';
import type { ContainerChurnResult } from './containers/container-churn.ts';
import type { RestartResult } from './restart/rolling-restart.ts';

/** Whether a run shows what it should. Otherwise its command fails. */

/** Enough responses, each from the requested instance. */
export function isChurnWell(result: ChurnResult, answers: number): boolean {
  return result.answers >= answers && result.wrongAnswers === 0 && result.strays.length === 0;
}

/** With the fences there is no error, and without all of them there is one. */
export function isFencesWell(results: ReadonlyMap<string, ChurnResult>): boolean {
  const whole = [...results].filter(([name]) => name.startsWith('nothing'));
  const caught = results.get('all')?.wrongAnswers ?? 0;
  return whole.length > 0 && whole.every(([, result]) => isChurnWell(result, 1)) && caught > 0;
}

/** Addresses were reused without an error; without the fences there was an error. */
export function isContainersWell(
  result: ContainerChurnResult,
  unfenced: Pick<ContainerChurnResult, 'wrongAnswers'>,
  answers: number,
): boolean {
  const isWhole = result.answers >= answers && result.reuses > 0;
  return isWhole && result.wrongAnswers === 0 && result.strays === 0 && unfenced.wrongAnswers > 0;
}

/**
 * No request failed, each replica exited in order, and every WebSocket lasted for the whole drain.
 */
export function isRestartWell(result: RestartResult): boolean {
  const { failed, exitCodes, tunnelsDrained, restarts } = result;
  const isQuiet = Object.keys(failed).length === 0 && tunnelsDrained === restarts;
  return isQuiet && exitCodes.length === restarts && exitCodes.every((code) => code === 0);
}
