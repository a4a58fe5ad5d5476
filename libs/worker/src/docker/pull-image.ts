import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerStartError, type ReportProgress } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline, daemonMessage } from './deadline.ts';
import { type PullLine, pullProgress } from './pull-progress.ts';

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

/** Interval of progress reports, ms. */
const REPORT_INTERVAL_MS = 1_000;
/** Minimum time by which a progress report extends the start deadline, ms. */
const TIMEOUT_MS = 15_000;

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
      const extensionMs = Math.max(timeoutMs, TIMEOUT_MS);
      const finished = ended.then(
        () => true,
        () => true,
      );
      do {
        const { done } = progress;
        const percent = done === undefined ? '' : ` (${Math.floor(done * 100)} %)`;
        const message = `Pulling the image ${image}${percent}.`;
        if (!(await reportProgress({ step: 'pulling', done, message }, extensionMs))) return false;
      } while (!(await Promise.race([finished, sleep(REPORT_INTERVAL_MS, false)])));
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
