import type { LogLine, LogPage, LogPosition } from '@ephemera/lifecycle';
import { linesAfter } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';

/** How much one page holds, characters; it ends with a whole moment, so it may hold a few more. */
const PAGE = 65_536;

/**
 * Reads a container's log from a place on, or its last `tail` lines. A container keeps 2 MB of log
 * at most, so reading it is bounded. Undefined where the container is gone.
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
    // Whole seconds: a fraction would not survive as a number.
    ...(after && { since: Math.floor(Date.parse(after.time) / 1000) }),
    ...(tail !== undefined && { tail }),
  });
  // 409: it is being removed, or was created and never started.
  const raw = await ignoreStatus([404, 409], withDeadline('logs', DEFAULT_TIMEOUT_MS, call));
  return raw && linesAfter(after, demuxLog(raw));
}

/** As many of the first lines as one answer holds. */
export function pageOf(lines: readonly LogLine[]): LogPage {
  let size = 0;
  const end = lines.findIndex((startQueue, i) => {
    const isNewMoment = startQueue.time !== lines[i - 1]?.time;
    if (size >= PAGE && isNewMoment) return true;
    size += startQueue.text.length;
    return false;
  });
  return end === -1 ? { lines, more: false } : { lines: lines.slice(0, end), more: true };
}

/**
 * Takes a log apart: each entry is a frame (its stream, three zeros, its length, big-endian) whose
 * text begins with a time and a space (Docker Engine API, `ContainerAttach`).
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
  // The two streams are written by two pipes: their entries are not quite in order.
  return lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}
