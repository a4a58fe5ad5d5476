import type { Principal } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { Context, Middleware } from 'koa';

/** An action on the deployment, performed or attempted. */
interface AuditedAction {
  /** Name of the token; undefined without a valid token. */
  readonly by: string | undefined;
  /** The action: `instance.create`, `queue.pause`, … */
  readonly action: string;
  /** The affected instance. */
  readonly id?: string | undefined;
  readonly status: number;
  /** The client address, behind trusted proxies. */
  readonly address: string;
  /** Further fields, such as a queue, a job, or the ids of several instances. */
  readonly [more: string]: string | number | readonly string[] | undefined;
}

/** The constant message of audit lines. Log filters rely on it. */
const AUDIT = 'administrative act';

/**
 * Decodes the segments of a path like the routers do, so that percent-encoding hides nothing from
 * the audit log. A segment stays encoded if it is malformed or would contain a slash.
 */
function plainPath(path: string): string {
  return path.split('/').map(plainSegment).join('/');
}

function plainSegment(segment: string): string {
  try {
    const plain = decodeURIComponent(segment);
    return plain.includes('/') ? segment : plain;
  } catch {
    return segment;
  }
}

/** Returns a function that logs one line per audited action, at any log level except `silent`. */
function createAudit(logger: Logger): (action: AuditedAction) => void {
  const lines = logger.level === 'silent' ? logger : logger.child({}, { level: 'info' });
  return (action) => {
    const result =
      action.status < 400
        ? 'done'
        : action.status === 401 || action.status === 403
          ? 'refused'
          : 'failed';
    lines.info({ ...action, by: action.by ?? 'nobody', result }, AUDIT);
  };
}

/** The audit name of a request, its object, and further fields. */
export interface NamedAction {
  readonly action: string;
  readonly id?: string | undefined;
  readonly [more: string]: string | readonly string[] | undefined;
}

/** An unauthenticated client may send a long path. */
const MAX_LENGTH = 100;

/** The part of a request's text that is audited. */
export const auditedText = (text: string): string => text.slice(0, MAX_LENGTH);

/**
 * Audits the requests that `nameOf` names, with their principal, status and client address. Use it
 * outside the error handler, so that it sees the final status.
 * @param nameOf gets the decoded path, after the response was made
 */
export function auditRequests(options: {
  readonly logger: Logger;
  readonly addressOf: (ctx: Context) => string;
  readonly nameOf: (ctx: Context, path: string) => NamedAction | undefined;
}): Middleware {
  const audit = createAudit(options.logger);
  return async (ctx, next) => {
    await next();
    const named = options.nameOf(ctx, plainPath(ctx.path));
    if (!named) return;
    const { principal } = ctx.state as { principal?: Principal };
    const { statusCode: status } = ctx.res;
    audit({ by: principal?.name, ...named, status, address: options.addressOf(ctx) });
  };
}
