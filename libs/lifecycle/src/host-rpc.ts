/** One log entry: a line with its line end, or a part of a line that is too long. */
export interface LogLine {
  /** RFC 3339 with nine fractional digits, so that times can be compared as text. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** A position in a log: after the first `count` lines with this time. */
export interface LogPosition {
  readonly time: string;
  readonly count: number;
}

export interface LogPage {
  readonly lines: readonly LogLine[];
  /** Whether the log already has more lines after these. */
  readonly more: boolean;
}

/** Current resource usage of an instance. */
export interface Usage {
  /** RFC 3339. */
  readonly readAt: string;
  /** CPU time since the container started, seconds. */
  readonly cpuSeconds: number;
  /** Bytes, without the page cache. */
  readonly memory: { readonly used: number; readonly limit: number };
  readonly pids: number;
  /** Bytes since the container started. */
  readonly network: { readonly received: number; readonly sent: number };
}

/** What a proxy requests of the workers of a host. Only they can reach its Docker daemon. */
export type HostRequestInput =
  | {
      readonly op: 'logs';
      readonly after?: LogPosition | undefined;
      /** Maximum number of lines, counted from the end. Absent: all lines. */
      readonly tail?: number | undefined;
    }
  | { readonly op: 'stats' | 'pause' | 'resume' };

/** The instance of a request. */
export interface HostTarget {
  readonly id: string;
  /** The generation that the proxy has read. */
  readonly generation: number;
}

export type HostRequest = HostRequestInput & HostTarget;

/**
 * The result of a request. `absent`: the host has no such container. `superseded`: the instance has
 * another generation by now, so read it again.
 */
export type HostReply<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'absent' }
  | { readonly kind: 'superseded' }
  | { readonly kind: 'failed'; readonly message: string };

interface Values {
  readonly logs: LogPage;
  readonly stats: Usage;
  readonly pause: null;
  readonly resume: null;
}

export type HostReplyTo<A extends HostRequestInput> = HostReply<Values[A['op']]>;

export interface HostRpc {
  /**
   * Sends a request to the workers of a host; one of them handles it. A request may be executed
   * although its reply times out, so a caller may repeat every operation.
   * @returns undefined if no worker replies in time
   */
  request<A extends HostRequestInput>(
    host: string,
    request: A & HostTarget,
  ): Promise<HostReplyTo<A> | undefined>;
}

/** The position after `lines`, which were read starting at `after`. */
export function positionAfter(
  after: LogPosition | undefined,
  lines: readonly LogLine[],
): LogPosition | undefined {
  const time = lines.at(-1)?.time;
  if (time === undefined) return after;
  const count = lines.filter((line) => line.time === time).length;
  return { time, count: count + (after?.time === time ? after.count : 0) };
}

/** The lines after a position. `lines` is in log order. */
export function linesAfter(
  after: LogPosition | undefined,
  lines: readonly LogLine[],
): readonly LogLine[] {
  if (!after) return lines;
  const same = lines.filter(({ time }) => time === after.time);
  const later = lines.filter(({ time }) => time > after.time);
  return [...same.slice(after.count), ...later];
}
