/** A place of the product's source, and what stands there once a guard is taken away. */
interface SourcePatch {
  /** End of the file's path. */
  readonly file: string;
  readonly text: string;
  readonly instead: string;
  /** The guard itself, where it stands in a Lua script. */
  readonly lua?: string;
}

/** Lua is read by one line: the guards of the scripts are taken away there. */
const script = (text: string): SourcePatch => ({
  lua: text,
  file: 'libs/store/src/run-script.ts',
  text: "return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');",
  instead: `return readFileSync(new URL(\`./scripts/\${name}.lua\`, import.meta.url), 'utf8').replace(${JSON.stringify(text)}, '');`,
});

const RECONCILE = 'libs/lifecycle/src/reconcile.ts';
const KILL = 'libs/lifecycle/src/kill.ts';
const UNLESS_FINALIZED = "if (!finalized) return { kind: 'absent' };";

/** Guards, each with what takes it away from a process that a test starts. */
export const GUARDS: Readonly<Record<string, readonly SourcePatch[]>> = {
  /** Reconciliation makes sure of no kill job. */
  're-arming': [
    {
      file: RECONCILE,
      text: 'await killJobs.schedule(repair.instance, Math.max(0, killDelay(repair.instance, now)));',
      instead: '',
    },
  ],
  /** Reconciliation finishes nothing that somebody else has begun. */
  finishing: [
    {
      file: RECONCILE,
      text: "return (await kill(ports, repair.id, 'due')).kind === 'killed';",
      instead: 'return false;',
    },
  ],
  /** Containers that nobody owns stay. */
  orphans: [{ file: RECONCILE, text: 'await containers.remove(repair.containerId);', instead: '' }],
  /** Nobody is asked again for what was to be begun. */
  'rpcRedis again': [
    {
      file: RECONCILE,
      text: 'await requeueSpawns(ports, startedAt - SPAWN_JOB_GRACE_MS);',
      instead: '',
    },
  ],
  /** The tombstone comes before the kill job is taken away. */
  'job before tombstone': [
    { file: KILL, text: 'await killJobs.cancel(instance);', instead: '' },
    {
      file: KILL,
      text: UNLESS_FINALIZED,
      instead: `await kills.disarm(instance); ${UNLESS_FINALIZED}`,
    },
  ],
  /** Whoever started an instance publishes it, whatever became of it meanwhile. */
  'state and generation': [
    script(
      "if state ~= 'starting' then return nil end\nif redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return nil end",
    ),
  ],
  /** A kill is counted by whoever ran it. */
  'track once': [{ file: KILL, text: UNLESS_FINALIZED, instead: '' }],
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
