import { readFile, readdir } from 'node:fs/promises';
import { table } from '@ephemera/test-support';

interface Sample {
  /** Minutes since the start. */
  readonly at: number;
  /** Resident memory, MiB. */
  readonly resident: number;
  readonly descriptors: number;
}

const PAGE = 4096;
/** The first minutes of a process are its warm-up and do not count towards the slope, minutes. */
const WARM_UP = 3;
/** Below this length a slope is noise, minutes. */
const MIN_LENGTH = 5;

/** Samples the memory and the open descriptors of processes from /proc. */
export class Samples {
  readonly #series = new Map<string, Sample[]>();
  readonly #startedAt = performance.now();

  async take(processes: Readonly<Record<string, number>>): Promise<void> {
    const at = (performance.now() - this.#startedAt) / 60_000;
    for (const [name, pid] of Object.entries(processes)) {
      const read = await readProcess(pid).catch(() => undefined);
      if (!read) continue;
      const key = `${name}, pid ${pid}`;
      this.#series.set(key, [...(this.#series.get(key) ?? []), { at, ...read }]);
    }
  }

  print(): string {
    const rows = [...this.#series]
      .filter(([, series]) => spanOf(series) >= MIN_LENGTH + WARM_UP)
      .map(([name, series]) => {
        const begin = (series[0]?.at ?? 0) + WARM_UP;
        const warm = series.filter(({ at }) => at >= begin);
        const resident = warm.map((sample) => [sample.at, sample.resident] as const);
        const descriptors = warm.map((sample) => [sample.at, sample.descriptors] as const);
        return [
          name,
          spanOf(series).toFixed(0),
          `${first(resident).toFixed(0)} → ${last(resident).toFixed(0)}, at most ${Math.max(...resident.map(([, y]) => y)).toFixed(0)}`,
          (slope(resident) * 60).toFixed(1),
          `${first(descriptors)} → ${last(descriptors)}`,
          (slope(descriptors) * 60).toFixed(1),
        ];
      });
    const head = ['process', 'minutes', 'resident MiB', 'MiB per hour', 'descriptors', 'per hour'];
    return table(head, rows);
  }
}

async function readProcess(pid: number): Promise<Omit<Sample, 'at'>> {
  const [, pages] = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ');
  const open = await readdir(`/proc/${pid}/fd`);
  return { resident: (Number(pages) * PAGE) / 1024 ** 2, descriptors: open.length };
}

type Points = readonly (readonly [x: number, y: number])[];

function spanOf(series: readonly Sample[]): number {
  return (series.at(-1)?.at ?? 0) - (series[0]?.at ?? 0);
}

const first = (points: Points) => points[0]?.[1] ?? 0;
const last = (points: Points) => points.at(-1)?.[1] ?? 0;

/** Slope of the least-squares line. */
function slope(points: Points): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean((point) => point[0]), mean((point) => point[1])];
  const numerator = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  const denominator = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
  return denominator === 0 ? 0 : numerator / denominator;
}
