/**
 * What has no business in the target of a request: a fragment, a backslash (which some servers
 * take for a slash) and dot segments, plain or percent-encoded, in the path.
 */
const FORBIDDEN = /[#\\]|^[^?]*?\/(?:\.|%2e){1,2}(?:[/?]|$)/i;

/** Whether a target is in origin form (RFC 9112 3.2.1) and means what it says. */
export function isPlainTarget(target: string): boolean {
  return target.charCodeAt(0) === 0x2f && !FORBIDDEN.test(target);
}
