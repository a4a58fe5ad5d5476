/** The parts that are read of what `node --cpu-prof` writes; times are microseconds. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Shares of the time that was not idle, largest first, by name. */
export type Shares = readonly (readonly [string, number])[];

/** Self time within a window of the monotonic clock, by room of the code and by function. */
export function readProfile(
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  [from, to]: readonly [number, number],
): { rooms: Shares; functions: Shares } {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const rooms = new Map<string, number>();
  const functions = new Map<string, number>();
  let at = startTime;
  let total = 0;
  for (const [index, sample] of samples.entries()) {
    const took = timeDeltas[index] ?? 0;
    at += took;
    const frame = frames.get(sample);
    if (at < from || at > to || frame === undefined || frame.functionName === '(idle)') continue;
    total += took;
    const room = categoryOf(frame.url, frame.functionName);
    rooms.set(room, (rooms.get(room) ?? 0) + took);
    const name = `${frame.functionName || '(anonymous)'} ${placeOf(frame.url, frame.lineNumber)}`;
    functions.set(name.trim(), (functions.get(name.trim()) ?? 0) + took);
  }
  const quotas = (map: ReadonlyMap<string, number>) =>
    [...map].map(([name, took]) => [name, took / total] as const).sort(([, a], [, b]) => b - a);
  return { rooms: quotas(rooms), functions: quotas(functions) };
}

function categoryOf(url: string, functionName: string): string {
  const [, room] = /apps\/proxy\/src\/([a-z-]+)/.exec(url) ?? [];
  if (room !== undefined) return `[apps/proxy ${room}]`;
  const [, library] = /(libs\/[a-z]+)/.exec(url) ?? [];
  if (library !== undefined) return `[${library}]`;
  const [, builtin] = /^node:(?:internal\/)?(\w+)/.exec(url) ?? [];
  if (builtin !== undefined) return `[node:${builtin}]`;
  const [, npm] = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? [];
  if (npm !== undefined) return `[${npm}]`;
  if (functionName === '(garbage collector)') return '[garbage collector]';
  return '[native]';
}

function placeOf(url: string, line: number): string {
  const [place = ''] = /(?:apps\/|libs\/|node_modules\/|node:).*/.exec(url) ?? [];
  return place === '' ? '' : `${place}:${line + 1}`;
}
