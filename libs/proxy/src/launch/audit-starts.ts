import type { IncomingMessage } from 'node:http';
import { createAudit } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Context, Middleware } from 'koa';

/** The audit fields of a start with a token. */
interface TokenStart {
  by?: string;
  id?: string;
}

/** Audits every start that carried a token, including invalid ones. */
export function auditStarts(options: {
  readonly logger: Logger;
  readonly addressOf: (req: IncomingMessage) => string;
}): Middleware {
  const audit = createAudit(options.logger);
  return async (ctx, next) => {
    await next();
    const { tokenStart } = ctx.state as { tokenStart?: TokenStart };
    if (!tokenStart) return;
    const { by, id } = tokenStart;
    const { statusCode: status } = ctx.res;
    // Tokens beyond the limit are not checked. Entries for them would fill the log.
    if (status === 429 && by === undefined) return;
    audit({
      by,
      action: 'instance.create',
      id,
      status,
      address: options.addressOf(ctx.req),
    });
  };
}

/** Records audit fields of the current request. The first call marks it as a start with a token. */
export function recordStart(ctx: Pick<Context, 'state'>, start: TokenStart): void {
  ctx.state['tokenStart'] = { ...(ctx.state['tokenStart'] as TokenStart | undefined), ...start };
}
