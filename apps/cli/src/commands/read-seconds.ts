import { parseDuration } from '@ephemera/domain';
import { StartError } from '@ephemera/runtime';

/**
 * Reads `--timeout`, as `90s` or `30m`, in seconds.
 *
 * @throws StartError where it is no duration of whole seconds
 */
export function readSeconds(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= 1000 && ms % 1000 === 0) return ms / 1000;
  throw new StartError(`--timeout is "${text}"; it must be a duration such as 90s, 30m, 2h.`);
}
