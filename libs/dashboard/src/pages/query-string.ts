/** The query string of a link, without `?` and without the fields that are undefined. */
export function queryString(fields: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.toString();
}
