import { linesAfter } from '@ephemera/lifecycle';
import type { LogLine, LogPage, LogPosition } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { LogArchive } from '@ephemera/store';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';

/**
 * Size of one page, characters. A page ends with the last line of one timestamp, so it may be
 * larger.
 */
const PAGE = 65_536;

/**
 * Reads a container's log after a position, or its last `tail` lines. A container keeps at most 2
 * MB of log, so the read is bounded. Undefined if the container is gone.
 */
export async function readLines(
  container: Docker.Container,
  { after, tail }: { after?: LogPosition | undefined; tail?: number | undefined },
): Promise<readonly LogLine[] | undefined> {
  const call = container.logs({
    follow: false,
    stdout: true,
    stderr: true,
    timestamps: true,
    // Whole seconds: a number cannot hold nine fractional digits.
    ...(after && { since: Math.floor(Date.parse(after.time) / 1000) }),
    ...(tail !== undefined && { tail }),
  });
  // 409: it is being removed, or it was never started.
  const raw = await ignoreStatus([404, 409], withDeadline('logs', DEFAULT_TIMEOUT_MS, call));
  return raw && linesAfter(after, demuxLog(raw));
}

/** The first page of the lines. */
export function pageOf(lines: readonly LogLine[]): LogPage {
  let size = 0;
  const end = lines.findIndex((line, i) => {
    const isNewTimestamp = line.time !== lines[i - 1]?.time;
    if (size >= PAGE && isNewTimestamp) return true;
    size += line.text.length;
    return false;
  });
  return end === -1 ? { lines, more: false } : { lines: lines.slice(0, end), more: true };
}

/**
 * Parses a log. Each entry is a frame (stream, three zero bytes, big-endian length) whose text
 * begins with a timestamp and a space (Docker Engine API, `ContainerAttach`).
 */
function demuxLog(raw: Buffer): LogLine[] {
  const lines: LogLine[] = [];
  for (let at = 0; at + 8 <= raw.length;) {
    const length = raw.readUInt32BE(at + 4);
    const entry = raw.toString('utf8', at + 8, at + 8 + length);
    const cut = entry.indexOf(' ');
    lines.push({
      time: entry.slice(0, cut),
      stream: raw[at] === 2 ? 'stderr' : 'stdout',
      text: entry.slice(cut + 1),
    });
    at += 8 + length;
  }
  // stdout and stderr use separate pipes, so their entries may be out of order.
  return lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/** Maximum number of archived lines. */
const MAX_LINES = 500;

/** Maximum delay of a removal by the archive, milliseconds. */
const TIMEOUT_MS = 2_000;

/**
 * Archives the last lines of a container's log before its removal. A failure is logged and does not
 * fail the kill.
 */
export function archiveLog(archive: LogArchive, logger: Logger) {
  return async (id: string, container: Docker.Container): Promise<void> => {
    try {
      const lines = (await readLines(container, { tail: MAX_LINES })) ?? [];
      // Without a deadline, it would wait while Redis is unavailable.
      await withDeadline('log', TIMEOUT_MS, archive.save(id, lines));
    } catch (error) {
      logger.warn({ err: error, id }, 'log not archived');
    }
  };
}
