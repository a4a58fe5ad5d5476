import { parseDuration } from '@ephemera/domain';
import { BootError } from '@ephemera/domain';

/**
 * Reads a duration, as `90s` or `30m`, in seconds.
 * @param option where it was given, such as `--timeout`
 *
 * @throws BootError where it is no duration of whole seconds
 */
export function readSeconds(text: string, option = '--timeout'): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= 1000 && ms % 1000 === 0) return ms / 1000;
  throw new BootError(`${option} is "${text}"; it must be a duration such as 90s, 30m, 2h.`);
}
