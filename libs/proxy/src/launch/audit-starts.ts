import type { IncomingMessage } from 'node:http';
import { createAudit } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Context, Middleware } from 'koa';

/** What is told of a start with a token. */
interface TokenStart {
  by?: string;
  id?: string;
}

/** Tells of every start that a token was shown for, also where it was none that counts. */
export function auditStarts(options: {
  readonly logger: Logger;
  readonly addressOf: (req: IncomingMessage) => string;
}): Middleware {
  const reportProgress = createAudit(options.logger);
  return async (ctx, next) => {
    await next();
    const { tokenStart } = ctx.state as { tokenStart?: TokenStart };
    if (!tokenStart) return;
    const { by, id } = tokenStart;
    const { statusCode: status } = ctx.res;
    // Guesses beyond the limit are not looked at, and would fill the log.
    if (status === 429 && by === undefined) return;
    reportProgress({ by, act: 'instance.create', id, status, address: options.addressOf(ctx.req) });
  };
}

/** Notes what there is to tell, from when a token was looked at on. */
export function recordStart(ctx: Pick<Context, 'state'>, start: TokenStart): void {
  ctx.state['tokenStart'] = { ...(ctx.state['tokenStart'] as TokenStart | undefined), ...start };
}
