/** What of an error is logged. */
export interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
  /** Name of the Redis command that was refused; its arguments may hold anything. */
  readonly command?: string;
  readonly cause?: DescribedError;
}

/** Credentials in an address, whatever stands around it. */
const CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:)[^\s@]+@/gi;
const MAX_DEPTH = 5;

/**
 * An error for the log, by the fields that are known. Errors carry more than they say: ioredis
 * hangs the whole command on each, so that a refused AUTH would log the password, and a refused
 * script the environment of an instance.
 */
export function describeError(error: unknown, depth = 0): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: withoutCredentials(error) };
  const { code, command } = error as { code?: unknown; command?: { name?: unknown } };
  return {
    type: error.name,
    message: withoutCredentials(error.message),
    ...(error.stack !== undefined && { stack: withoutCredentials(error.stack) }),
    ...(typeof code === 'string' && { code }),
    ...(typeof command?.name === 'string' && { command: command.name }),
    ...(error.cause instanceof Error &&
      depth < MAX_DEPTH && { cause: describeError(error.cause, depth + 1) }),
  };
}

/** Text without the passwords of the addresses in it. */
export function withoutCredentials(text: unknown): string {
  return String(text).replace(CREDENTIALS, '$1***@');
}
