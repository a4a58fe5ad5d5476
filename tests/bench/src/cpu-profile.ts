/** The fields used from the output of `node --cpu-prof`; times are microseconds. */
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

/** Fractions of the non-idle time by name, largest first. */
export type TimeFractions = readonly (readonly [string, number])[];

/** Self time within a window of the monotonic clock, by code area and by function. */
export function readProfile(
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  [from, to]: readonly [number, number],
): { areas: TimeFractions; functions: TimeFractions } {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const areas = new Map<string, number>();
  const functions = new Map<string, number>();
  let at = startTime;
  let total = 0;
  for (const [index, sample] of samples.entries()) {
    const took = timeDeltas[index] ?? 0;
    at += took;
    const frame = frames.get(sample);
    if (at < from || at > to || frame === undefined || frame.functionName === '(idle)') continue;
    total += took;
    const area = areaOf(frame.url, frame.functionName);
    areas.set(area, (areas.get(area) ?? 0) + took);
    const name = `${frame.functionName || '(anonymous)'} ${placeOf(frame.url, frame.lineNumber)}`;
    functions.set(name.trim(), (functions.get(name.trim()) ?? 0) + took);
  }
  const fractions = (map: ReadonlyMap<string, number>) =>
    [...map].map(([name, took]) => [name, took / total] as const).sort(([, a], [, b]) => b - a);
  return { areas: fractions(areas), functions: fractions(functions) };
}

function areaOf(url: string, functionName: string): string {
  const [, area] = /libs\/proxy\/src\/([a-z-]+)/.exec(url) ?? [];
  if (area !== undefined) return `[libs/proxy ${area}]`;
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
