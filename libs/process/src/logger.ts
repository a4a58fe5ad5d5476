import { pino } from 'pino';
import type { DestinationStream, Logger, LoggerOptions } from 'pino';
import { describeError } from './describe-error.ts';

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
