/** One entry of a container's log: a line with its end, or a piece of a line that is too long. */
export interface LogLine {
  /** RFC 3339 with nine digits of a second, so that times compare as text. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** A place in a log: behind the first `count` lines that bear this time. */
export interface LogPosition {
  readonly time: string;
  readonly count: number;
}

export interface LogPage {
  readonly lines: readonly LogLine[];
  /** Whether there is more already behind these. */
  readonly more: boolean;
}

/** What an instance uses at the moment. */
export interface Usage {
  /** RFC 3339. */
  readonly readAt: string;
  /** CPU time since its start, seconds. */
  readonly cpuSeconds: number;
  /** Bytes, without what the kernel caches of files. */
  readonly memory: { readonly used: number; readonly limit: number };
  readonly pids: number;
  /** Bytes since its start. */
  readonly network: { readonly received: number; readonly sent: number };
}

/** What a proxy may ask the workers of a host, who alone reach its daemon. */
export type HostRequest =
  | {
      readonly op: 'logs';
      readonly id: string;
      readonly after?: LogPosition | undefined;
      /** Only so many of the last lines; all where absent. */
      readonly tail?: number | undefined;
    }
  | { readonly op: 'stats' | 'pause' | 'resume'; readonly id: string };

/** What became of an ask; `absent`: there is no such container on that host. */
export type HostReply<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly message: string };

interface Values {
  readonly logs: LogPage;
  readonly stats: Usage;
  readonly pause: null;
  readonly resume: null;
}

export type HostReplyTo<A extends HostRequest> = HostReply<Values[A['op']]>;

export interface HostRpc {
  /**
   * Asks the workers of a host, of whom one answers. An ask may be carried out though its answer
   * comes too late: all of them may be asked again.
   * @returns undefined where none of them answers in time
   */
  request<A extends HostRequest>(host: string, request: A): Promise<HostReplyTo<A> | undefined>;
}

/** The place behind some lines of a log that were read from `after` on. */
export function positionAfter(
  after: LogPosition | undefined,
  lines: readonly LogLine[],
): LogPosition | undefined {
  const time = lines.at(-1)?.time;
  if (time === undefined) return after;
  const count = lines.filter((startQueue) => startQueue.time === time).length;
  return { time, count: count + (after?.time === time ? after.count : 0) };
}

/** The lines behind a place, of lines in their order. */
export function linesAfter(
  after: LogPosition | undefined,
  lines: readonly LogLine[],
): readonly LogLine[] {
  if (!after) return lines;
  const same = lines.filter(({ time }) => time === after.time);
  const later = lines.filter(({ time }) => time > after.time);
  return [...same.slice(after.count), ...later];
}
