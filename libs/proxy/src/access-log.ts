import type { IncomingMessage } from 'node:http';
import type { Logger } from '@ephemera/process';
import type { RequestFacts } from './data-plane/routed-request.ts';

/** Longest path in a line, characters. */
const MAX_PATH = 500;

/**
 * Returns a function that logs one request for an instance. The query is left out, because it may
 * contain secrets. Durations are milliseconds; a field without a value is absent.
 */
export function accessLog(
  logger: Logger,
  addressOf: (req: IncomingMessage) => string,
): (facts: RequestFacts) => void {
  const lines = logger.child({ log: 'access' }, { level: 'info' });
  return ({ req, id, template, method, status, duration, upstreamDuration, bytes }) =>
    lines.info(
      {
        id,
        template,
        method,
        path: (req.url ?? '').split('?', 1)[0]?.slice(0, MAX_PATH),
        status,
        durationMs: rounded(duration),
        upstreamMs: upstreamDuration === undefined ? undefined : rounded(upstreamDuration),
        bytes,
        address: addressOf(req),
      },
      'request',
    );
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
