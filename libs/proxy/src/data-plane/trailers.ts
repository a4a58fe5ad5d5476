/**
 * What may come behind a body (RFC 9110 6.5.1): nothing that frames, routes, authenticates or
 * says who asked, since whoever reads a trailer may merge it into the head.
 */
const FORBIDDEN = new Set([
  'transfer-encoding',
  'content-length',
  'content-encoding',
  'content-type',
  'content-range',
  'trailer',
  'te',
  'host',
  'connection',
  'keep-alive',
  'upgrade',
  'expect',
  'range',
  'max-forwards',
  'cache-control',
  'authorization',
  'cookie',
  'set-cookie',
  'forwarded',
  'location',
  'service-worker-allowed',
  'x-real-ip',
]);

/** The trailers that are passed on, as pairs. @param fields name, value, name, value, … */
export function forwardableTrailers(fields: readonly string[]): [name: string, value: string][] {
  const passable: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (isForwardable(name.toLowerCase())) passable.push([name, fields[i + 1] ?? '']);
  }
  return passable;
}

function isForwardable(name: string): boolean {
  return !(
    FORBIDDEN.has(name) ||
    name.startsWith('x-forwarded-') ||
    name.startsWith('proxy-') ||
    name.includes('_')
  );
}
