const MAX_SEEN = 2_000;
const MAX_LENGTH = 64;

/**
 * Tells fields apart by name. Names come in any case, so the answer to each spelling is
 * remembered; strangers choose the spellings, so there is an end to what is remembered.
 *
 * @param classify the kind of a name in lower case
 */
export function fieldKinds<Kind extends string>(
  classify: (name: string) => Kind,
): (name: string) => Kind {
  const seen = new Map<string, Kind>();
  return (name) => {
    const known = seen.get(name);
    if (known !== undefined) return known;
    const kind = classify(name.toLowerCase());
    if (seen.size < MAX_SEEN && name.length <= MAX_LENGTH) seen.set(name, kind);
    return kind;
  };
}
