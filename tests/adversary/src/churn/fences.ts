/** A place of the product's source, and what stands there once a fence is taken away. */
interface SourcePatch {
  /** End of the file's path. */
  readonly file: string;
  readonly text: string;
  readonly instead: string;
}

export type Fence = 'lease' | 'push' | 'flush' | 'sockets' | 'recheck' | 'addresses';

const CACHE = 'libs/store/src/route-cache.ts';
const TRACKING = 'libs/store/src/route-tracking.ts';
const AGENTS = 'apps/proxy/src/data-path/upstream/upstream-pools.ts';
const PROFILE = 'apps/worker/src/docker/container-profile.ts';

/**
 * The fences between instances, each with what takes it away from a replica that a test starts.
 * The product has no switch for any of this: the source is changed while it is loaded, and a place
 * that is not found any more ends the replica at its start.
 */
export const FENCES: Readonly<Record<Fence, readonly SourcePatch[]>> = {
  /** A cached route is used without proof that it still stands. */
  lease: [
    {
      file: CACHE,
      text: 'return now < entry.validUntil || now < this.#provenAt + this.#lease ? entry : undefined;',
      instead: 'return entry;',
    },
  ],
  /** Nobody hears that a route changed. */
  push: [
    { file: TRACKING, text: 'if (String(channel) === CHANNEL) this.#told(message);', instead: '' },
  ],
  /** A lost invalidation connection is taken for a quiet one. */
  flush: [
    { file: TRACKING, text: 'this.#events.down();', instead: '' },
    { file: CACHE, text: 'read.invalidated = !this.#tracked;', instead: '' },
  ],
  /** Connections are kept by address and not by instance, and outlive the route. */
  sockets: [
    {
      file: AGENTS,
      text: `const known = this.#pools.get(id);
    if (known?.generation === route.generation) return known;
    if (known) this.#drop(known);`,
      instead: `const known = this.#pools.get(route.address);
    if (known) return Object.assign(known, { id, route });`,
    },
    {
      file: AGENTS,
      text: 'this.#pools.set(id, pool);',
      instead: 'this.#pools.set(route.address, agent);',
    },
  ],
  /** A connection that has opened is used without asking whether the route still stands. */
  recheck: [
    { file: AGENTS, text: 'return isCurrent(found, generation);', instead: 'return true;' },
  ],
  /** Docker gives a container the lowest free address: that of the one which has just ended. */
  addresses: [
    {
      file: PROFILE,
      text: '[place.network]: { IPAMConfig: { IPv4Address: place.address } },',
      instead: '[place.network]: {},',
    },
  ],
};

export const fenceNames = Object.keys(FENCES) as Fence[];
/** Those that stand in a replica, and not in the worker. */
export const proxyFences = fenceNames.filter((name) => name !== 'addresses');

/** Arguments of node that start a replica or a worker without some of its fences. */
export function without(fences: readonly Fence[]): string[] {
  const hook = new URL('./remove-fences.ts', import.meta.url);
  hook.search = fences.join(',');
  return fences.length === 0 ? [] : ['--import', hook.href];
}

/** The source of a file with the fences taken away; undefined where none is in it. */
export function taken(path: string, source: string, fences: readonly Fence[]): string | undefined {
  const patches = fences.flatMap((fence) => FENCES[fence]);
  const here = patches.filter(({ file }) => path.endsWith(file));
  if (here.length === 0) return undefined;
  return here.reduce((text, { file, text: found, instead }) => {
    if (text.split(found).length !== 2) throw new Error(`${file} has no such fence: ${found}`);
    return text.replace(found, () => instead);
  }, source);
}
