import type { Logger } from '@ephemera/process';

/** An action on the deployment, performed or attempted. */
export interface AuditedAction {
  /** Name of the token; undefined without a valid token. */
  readonly by: string | undefined;
  /** The action: `instance.create`, `queue.pause`, … */
  readonly action: string;
  /** The affected instance. */
  readonly id?: string | undefined;
  readonly status: number;
  /** The client address, behind trusted proxies. */
  readonly address: string;
  /** Further fields, such as a queue or a job. */
  readonly [more: string]: string | number | undefined;
}

/** The constant message of audit lines. Log filters rely on it. */
const AUDIT = 'administrative act';

/**
 * Decodes the segments of a path like the routers do, so that percent-encoding hides nothing from
 * the audit log. A segment stays encoded if it is malformed or would contain a slash.
 */
export function plainPath(path: string): string {
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
export function createAudit(logger: Logger): (action: AuditedAction) => void {
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
