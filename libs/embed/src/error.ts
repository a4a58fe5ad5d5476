import { problemOf } from '@ephemera/contract';
import type { Problem } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';

/**
 * A call that could not be done: a template or a value that is refused, a limit, a start that failed,
 * or Redis that is unavailable. `problem` is what the control API would answer (RFC 9457).
 */
export class EphemeraError extends Error {
  override readonly name = 'EphemeraError';
  readonly problem: Problem;

  constructor(problem: Problem, options?: ErrorOptions) {
    super(`${problem.title}: ${problem.detail}`, options);
    this.problem = problem;
  }
}

/** Runs a call, and throws its failure as an `EphemeraError`. Other errors are bugs or broken I/O. */
export async function orEphemeraError<T>(call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new EphemeraError(problemOf(error.failure).problem, { cause: error });
  }
}
