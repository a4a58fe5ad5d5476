/** A line of the daemon's answer to a pull. */
export interface PullLine {
  readonly id?: string;
  readonly status?: string;
  readonly error?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
}

/** How much of a layer's way its download is; the rest is unpacking. */
const DOWNLOAD = 0.7;

/** Adds up what a daemon tells of the layers that it pulls. */
export function pullProgress() {
  const layers = new Map<string, number>();
  return {
    hear({ id, status = '', progressDetail: { current = 0, total = 0 } = {} }: PullLine): void {
      const part = total > 0 ? Math.min(1, current / total) : 0;
      const done = doneOf(status, part);
      if (id !== undefined && done !== undefined) layers.set(id, done);
    },
    /** 0 to 1, every layer counted alike; undefined before the first is known. */
    get done(): number | undefined {
      if (layers.size === 0) return undefined;
      let sum = 0;
      for (const done of layers.values()) sum += done;
      return sum / layers.size;
    },
  };
}

function doneOf(status: string, part: number): number | undefined {
  switch (status) {
    case 'Pulling fs layer':
    case 'Waiting':
      return 0;
    case 'Downloading':
      return DOWNLOAD * part;
    case 'Verifying Checksum':
    case 'Download complete':
      return DOWNLOAD;
    case 'Extracting':
      return DOWNLOAD + (1 - DOWNLOAD) * part;
    case 'Pull complete':
    case 'Already exists':
      return 1;
    default:
      return undefined;
  }
}
