import type { Logger } from '@ephemera/process';

/** What somebody did, or tried to do, to the deployment. */
export interface AuditedAction {
  /** Name of the token; undefined where none was shown that counts. */
  readonly by: string | undefined;
  /** What: `instance.create`, `queue.pause`, … */
  readonly action: string;
  /** The instance that it was done to. */
  readonly id?: string | undefined;
  readonly status: number;
  /** Where it was asked from, behind whatever is trusted. */
  readonly address: string;
  /** What else there is to say: a queue, a job. */
  readonly [more: string]: string | number | undefined;
}

/** What the one message of these lines is, to filter by. */
const AUDIT = 'administrative act';

/**
 * A path as routers take it: its segments without percent-encoding, so that none hides what it is
 * by one. A segment that is broken, or would become two, stays.
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

/**
 * Tells of administrative acts, each in one line, whatever else is logged: only a log that is
 * silent is without them.
 */
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
