import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { ReportProgress } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, PULL_EXTENSION_MS, PULL_REPORT_INTERVAL_MS } from '../limits.ts';
import { ignoreStatus, withDeadline, daemonMessage } from './docker-client.ts';

/** Pulls images that are not on the host. */
export interface ImagePulls {
  /**
   * Pulls an image, or joins a running pull of it. Reports progress, which also extends the start
   * deadline. The deadline therefore does not pass while this process is alive. After the pull, it
   * is `timeoutMs` from now.
   *
   * @returns false if the instance was superseded; other instances may still need the image
   * @throws ContainerStartError if the registry refuses or is unreachable, or the pull times out
   */
  pull(image: string, timeoutMs: number, reportProgress: ReportProgress): Promise<boolean>;
}

interface Pull {
  readonly ended: Promise<void>;
  readonly progress: { readonly done: number | undefined };
}

/** @param timeout timeout of one pull, ms */
export function imagePulls(docker: Docker, timeout: number): ImagePulls {
  const inFlight = new Map<string, Pull>();

  const join = (image: string): Pull => {
    const known = inFlight.get(image);
    if (known) return known;
    const progress = pullProgress();
    const stop = new AbortController();
    const ended = withDeadline('the pull', timeout, pullNow(docker, image, progress, stop.signal))
      .catch((error: unknown) => {
        throw new ContainerStartError(
          `The image ${image} is not on this host, and pulling it failed: ${daemonMessage(error)}`,
        );
      })
      .finally(() => {
        stop.abort();
        inFlight.delete(image);
      });
    const pull = { ended, progress };
    inFlight.set(image, pull);
    return pull;
  };

  return {
    async pull(image, timeoutMs, reportProgress) {
      const { ended, progress } = join(image);
      const extensionMs = Math.max(timeoutMs, PULL_EXTENSION_MS);
      const finished = ended.then(
        () => true,
        () => true,
      );
      do {
        const { done } = progress;
        const percent = done === undefined ? '' : ` (${Math.floor(done * 100)} %)`;
        const message = `Pulling the image ${image}${percent}.`;
        if (!(await reportProgress({ step: 'pulling', done, message }, extensionMs))) return false;
      } while (!(await Promise.race([finished, sleep(PULL_REPORT_INTERVAL_MS, false)])));
      await ended;
      return reportProgress({ step: 'creating', message: 'Creating the container.' }, timeoutMs);
    },
  };
}

async function pullNow(
  docker: Docker,
  image: string,
  progress: ReturnType<typeof pullProgress>,
  abortSignal: AbortSignal,
): Promise<void> {
  const answer = await docker.createImage({ fromImage: withTag(image), abortSignal });
  for await (const line of createInterface({ input: answer })) {
    const pullLine = JSON.parse(line) as PullLine;
    if (pullLine.error !== undefined) throw new Error(pullLine.error);
    progress.update(pullLine);
  }
  // If the daemon dies during the pull, the response ends without an error.
  const found = withDeadline('inspect', DEFAULT_TIMEOUT_MS, docker.getImage(image).inspect());
  if (!(await ignoreStatus([404], found)))
    throw new Error('the response of the daemon ended before the pull was complete');
}

/** Adds a default tag. Without a tag, the daemon would pull all tags. */
export function withTag(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  return name.includes(':') || name.includes('@') ? image : `${image}:latest`;
}

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
function pullProgress() {
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
