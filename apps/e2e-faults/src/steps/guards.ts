/** A place of the product's source, and what stands there once a guard is taken away. */
interface Patch {
  /** End of the file's path. */
  readonly file: string;
  readonly text: string;
  readonly instead: string;
}

/** Guards, each with what takes it away from a process that a test starts. */
export const GUARDS: Readonly<Record<string, readonly Patch[]>> = {
  /** Reconciliation makes sure of no kill job. */
  're-arming': [
    {
      file: 'libs/lifecycle/src/reconcile.ts',
      text: 'await kills.arm(repair.instance, Math.max(0, repair.instance.expiresAt - now));',
      instead: '',
    },
  ],
};

/** The source of a file without these guards; undefined where none of them is in it. */
export function withoutGuards(
  path: string,
  source: string,
  names: readonly string[],
): string | undefined {
  const patches = names.flatMap((name) => {
    const guard = GUARDS[name];
    if (!guard) throw new Error(`there is no guard ${name}`);
    return guard;
  });
  const here = patches.filter(({ file }) => path.endsWith(file));
  if (here.length === 0) return undefined;
  return here.reduce((text, { file, text: found, instead }) => {
    if (text.split(found).length !== 2) throw new Error(`${file} has no such guard: ${found}`);
    return text.replace(found, () => instead);
  }, source);
}
