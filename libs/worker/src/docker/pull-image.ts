import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerStartError, type ReportProgress } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline, daemonMessage } from './deadline.ts';
import { type PullLine, pullProgress } from './pull-progress.ts';

/** Pulls images that are not on the host. */
export interface ImagePulls {
  /**
   * Pulls an image, or joins the pull of it that is under way. Whoever waits is told how far it
   * is; each telling puts the start deadline off, so it stands still as long as this process
   * lives, and is `within` ms away once the image is there.
   *
   * @returns false where nobody wanted the instance any more; others may still want the image
   * @throws ContainerStartError where the registry refuses or cannot be reached, or the time is up
   */
  pull(image: string, timeoutMs: number, reportProgress: ReportProgress): Promise<boolean>;
}

interface Pull {
  readonly ended: Promise<void>;
  readonly progress: { readonly done: number | undefined };
}

/** How often whoever waits is told, ms. */
const REPORT_INTERVAL_MS = 1_000;
/** How long a start outlives the last telling of its pull at least, ms. */
const TIMEOUT_MS = 15_000;

/** @param timeout how long one pull may take, ms */
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
      const patience = Math.max(timeoutMs, TIMEOUT_MS);
      const over = ended.then(
        () => true,
        () => true,
      );
      do {
        const { done } = progress;
        const percent = done === undefined ? '' : ` (${Math.floor(done * 100)} %)`;
        const message = `Pulling the image ${image}${percent}.`;
        if (!(await reportProgress({ step: 'pulling', done, message }, patience))) return false;
      } while (!(await Promise.race([over, sleep(REPORT_INTERVAL_MS, false)])));
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
    const container = JSON.parse(line) as PullLine;
    if (container.error !== undefined) throw new Error(container.error);
    progress.hear(container);
  }
  // A daemon that dies in the middle ends the answer without an error.
  const found = withDeadline('inspect', DEFAULT_TIMEOUT_MS, docker.getImage(image).inspect());
  if (!(await ignoreStatus([404], found))) throw new Error('the daemon ended it half-way');
}

/** Without a tag the daemon would pull every tag that there is. */
export function withTag(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  return name.includes(':') || name.includes('@') ? image : `${image}:latest`;
}
