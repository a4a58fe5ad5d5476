import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { StartFault, type TellStep } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { QUICK, unlessStatus, withDeadline, wordsOf } from './deadline.ts';
import { type PullLine, pullProgress } from './pull-progress.ts';

/** Pulls images that are not on the host. */
export interface ImagePulls {
  /**
   * Pulls an image, or joins the pull of it that is under way. Whoever waits is told how far it
   * is; each telling puts the start deadline off, so it stands still as long as this process
   * lives, and is `within` ms away once the image is there.
   *
   * @returns false where nobody wanted the instance any more; others may still want the image
   * @throws StartFault where the registry refuses or cannot be reached, or the time is up
   */
  pull(image: string, within: number, tell: TellStep): Promise<boolean>;
}

interface Pull {
  readonly ended: Promise<void>;
  readonly progress: { readonly done: number | undefined };
}

/** How often whoever waits is told, ms. */
const TELL_EVERY = 1_000;
/** How long a start outlives the last telling of its pull at least, ms. */
const PATIENCE = 15_000;

/** @param timeout how long one pull may take, ms */
export function imagePulls(docker: Docker, timeout: number): ImagePulls {
  const underWay = new Map<string, Pull>();

  const join = (image: string): Pull => {
    const known = underWay.get(image);
    if (known) return known;
    const progress = pullProgress();
    const stop = new AbortController();
    const ended = withDeadline('the pull', timeout, pullNow(docker, image, progress, stop.signal))
      .catch((error: unknown) => {
        throw new StartFault(
          `The image ${image} is not on this host, and pulling it failed: ${wordsOf(error)}`,
        );
      })
      .finally(() => {
        stop.abort();
        underWay.delete(image);
      });
    const pull = { ended, progress };
    underWay.set(image, pull);
    return pull;
  };

  return {
    async pull(image, within, tell) {
      const { ended, progress } = join(image);
      const patience = Math.max(within, PATIENCE);
      const over = ended.then(
        () => true,
        () => true,
      );
      do {
        const { done } = progress;
        const percent = done === undefined ? '' : ` (${Math.floor(done * 100)} %)`;
        const message = `Pulling the image ${image}${percent}.`;
        if (!(await tell({ step: 'pulling', done, message }, patience))) return false;
      } while (!(await Promise.race([over, sleep(TELL_EVERY, false)])));
      await ended;
      return tell({ step: 'creating', message: 'Creating the container.' }, within);
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
    const told = JSON.parse(line) as PullLine;
    if (told.error !== undefined) throw new Error(told.error);
    progress.hear(told);
  }
  // A daemon that dies in the middle ends the answer without an error.
  const found = withDeadline('inspect', QUICK, docker.getImage(image).inspect());
  if (!(await unlessStatus([404], found))) throw new Error('the daemon ended it half-way');
}

/** Without a tag the daemon would pull every tag that there is. */
export function withTag(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  return name.includes(':') || name.includes('@') ? image : `${image}:latest`;
}
