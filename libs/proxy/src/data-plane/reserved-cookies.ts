/**
 * Cookies of the product itself, the dashboard's session among them. A browser sends a cookie to
 * every port of a name, so they come along with requests for instances that are served under the
 * same name: no instance is to read one, nor to set one.
 */
const RESERVED = /^(?:__(?:host|secure)-)?ephemera-/i;

/** A value of `Cookie` without the product's own; undefined where nothing is left. */
export function withoutReserved(value: string): string | undefined {
  if (!/ephemera-/i.test(value)) return value;
  const kept = value.split(';').filter((pair) => !RESERVED.test(pair.trim()));
  return kept.length === 0 ? undefined : kept.join(';').trim();
}

/**
 * Whether a value of `Set-Cookie` would make one of the product's own. A browser keeps `=a=b` as a
 * cookie without a name, and sends it as `a=b`.
 */
export function setsReserved(value: string): boolean {
  return RESERVED.test(value.replace(/^[\s=]+/, ''));
}
