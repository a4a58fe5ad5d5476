/** A line of the daemon's response to a pull. */
export interface PullLine {
  readonly id?: string;
  readonly status?: string;
  readonly error?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
}

/** Share of the download in the progress of a layer. The rest is extraction. */
const DOWNLOAD = 0.7;

/** Computes the progress of a pull from the progress of its layers. */
export function pullProgress() {
  const layers = new Map<string, number>();
  return {
    update({ id, status = '', progressDetail: { current = 0, total = 0 } = {} }: PullLine): void {
      const part = total > 0 ? Math.min(1, current / total) : 0;
      const done = doneOf(status, part);
      if (id !== undefined && done !== undefined) layers.set(id, done);
    },
    /** 0 to 1, with equal weight for each layer. Undefined before the first layer is known. */
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
