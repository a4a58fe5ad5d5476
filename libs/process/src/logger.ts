import { pino } from 'pino';
import type { DestinationStream, Logger, LoggerOptions } from 'pino';

export type { Logger } from 'pino';

/**
 * The log of one app: JSON lines on `out`, each with a constant message and fields. The field `id`
 * is always an instance id, so that one instance can be followed through all apps.
 */
export function createLogger(
  app: string,
  level: string,
  out: DestinationStream = pino.destination(1),
): Logger {
  const options: LoggerOptions = {
    level,
    base: { app, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: (error: unknown) => describeError(error) },
    redact: {
      paths: [
        ...['token', 'password', 'secret', 'env'].flatMap((name) => [name, `*.${name}`]),
        'headers.authorization',
        'headers.cookie',
        'headers["set-cookie"]',
      ],
      censor: '[hidden]',
    },
  };
  return pino(options, out);
}

/** The logged part of an error. */
export interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
  /**
   * Name of the failed Redis command. Its arguments are omitted, because they may contain secrets.
   */
  readonly command?: string;
  readonly cause?: DescribedError;
}

/** Credentials in a URL, anywhere in a text. */
const CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:)[^\s@]+@/gi;
const MAX_DEPTH = 5;

/**
 * Reduces an error to known fields for the log. ioredis attaches the whole command to each error,
 * so a failed AUTH would log the password, and a failed script the environment of an instance.
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

/** Removes the passwords of all URLs in a text. */
export function withoutCredentials(text: unknown): string {
  return String(text).replace(CREDENTIALS, '$1***@');
}
