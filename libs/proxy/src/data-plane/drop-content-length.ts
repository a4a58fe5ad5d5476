/**
 * Fields without `Content-Length`, which has no place in an answer that can have no body: 1xx, 101
 * and 204 (RFC 9110 8.6). Whoever believed it would wait for a body, or take what follows for one.
 *
 * @param fields name, value, name, value, …
 */
export function dropContentLength(fields: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (name.toLowerCase() !== 'content-length') kept.push(name, fields[i + 1] ?? '');
  }
  return kept;
}
