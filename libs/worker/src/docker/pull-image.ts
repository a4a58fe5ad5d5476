import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RegistryLogin, RegistryLogins } from '@ephemera/config';
import { registryOf, withDigest } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { ReportProgress } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type Docker from 'dockerode';
import {
  DEFAULT_TIMEOUT_MS,
  DIGEST_TIMEOUT_MS,
  PULL_EXTENSION_MS,
  PULL_REPORT_INTERVAL_MS,
  PULL_RETRY_MS,
  PULL_STALL_MS,
} from '../limits.ts';
import { ignoreStatus, withDeadline, daemonMessage } from './docker-client.ts';

/** Pulls images that are not on the host. */
export interface ImagePulls {
  /**
   * Pulls an image, or joins a running pull of it. Reports progress, which also extends the start
   * deadline. The deadline therefore does not pass while this process is alive. After the pull, it
   * is `timeoutMs` from now. Failures that may pass are repeated for `timeoutMs`.
   *
   * @returns false if the instance was superseded; other instances may still need the image
   * @throws ContainerStartError if the registry refuses or is unreachable, or the pull times out
   */
  pull(image: string, timeoutMs: number, reportProgress: ReportProgress): Promise<boolean>;
  /**
   * The name of an image with the digest that its registry has for it now. The name as it is if it has
   * a digest, or if the registry does not say: it may be an image that was built on this host.
   */
  resolve(image: string): Promise<string>;
}

interface Pull {
  readonly ended: Promise<void>;
  readonly progress: ReturnType<typeof pullProgress>;
  /** How long failed attempts are repeated, ms: the longest start deadline of the waiting starts. */
  retryFor: number;
  /** Why the last attempt failed, as a sentence. Undefined while an attempt runs. */
  problem: string | undefined;
}

export interface PullOptions {
  /** The logins of registries, read for each pull, because tokens expire. */
  readonly readLogins?: () => RegistryLogins;
  readonly logger?: Pick<Logger, 'warn' | 'info'>;
  /** Time without progress after which a pull counts as stalled, ms. */
  readonly stallMs?: number;
  /** Pause before the second attempt, ms. It doubles with each further one. */
  readonly retryMs?: number;
}

/**
 * @param timeout timeout of one pull with all its attempts, ms
 * @throws ConfigError if the logins cannot be read at the start
 */
export function imagePulls(
  docker: Docker,
  timeout: number,
  {
    readLogins = () => new Map(),
    logger,
    stallMs = PULL_STALL_MS,
    retryMs = PULL_RETRY_MS,
  }: PullOptions = {},
): ImagePulls {
  const inFlight = new Map<string, Pull>();
  let lastLogins = readLogins();

  const loginOf = (registry: string): RegistryLogin | undefined => {
    try {
      lastLogins = readLogins();
    } catch (error) {
      logger?.warn(
        { err: error },
        'logins of registries cannot be read; the last ones stay in use',
      );
    }
    return lastLogins.get(registry);
  };

  const join = (image: string, retryFor: number): Pull => {
    const known = inFlight.get(image);
    if (known) {
      known.retryFor = Math.max(known.retryFor, retryFor);
      return known;
    }
    const registry = registryOf(image);
    const login = loginOf(registry);
    const stop = new AbortController();
    const pull = { progress: pullProgress(), retryFor, problem: undefined as string | undefined };
    const ended = withDeadline(
      'the pull',
      timeout,
      pullWithRetries(image, login, pull, stop.signal),
    )
      .catch((error: unknown) => {
        throw new ContainerStartError(failureText(image, registry, login, daemonMessage(error)));
      })
      .finally(() => {
        stop.abort();
        inFlight.delete(image);
      });
    const started = Object.assign(pull, { ended });
    inFlight.set(image, started);
    return started;
  };

  const pullWithRetries = async (
    image: string,
    login: RegistryLogin | undefined,
    pull: Omit<Pull, 'ended'>,
    signal: AbortSignal,
  ): Promise<void> => {
    let failingSince: number | undefined;
    for (let pause = retryMs; ; pause = Math.min(2 * pause, MAX_RETRY_MS)) {
      const start = performance.now();
      const before = pull.progress.best;
      try {
        await pullNow(docker, image, { login, progress: pull.progress, signal });
        return;
      } catch (error) {
        const reason = daemonMessage(error);
        const now = performance.now();
        // An attempt that got further than all before is no part of a series of failures.
        if (pull.progress.best > before) failingSince = now;
        failingSince ??= start;
        const isOver = now + pause - failingSince > pull.retryFor;
        if (signal.aborted || !isPassing(reason) || isOver) throw error;
        const seconds = Math.ceil(pause / 1000);
        pull.problem = `The registry failed. The next attempt is in ${seconds} s.`;
        logger?.warn({ image, reason, retryMs: pause }, 'pull failed; it is repeated');
        await sleep(pause, undefined, { signal });
        pull.problem = undefined;
        pull.progress.touch();
      }
    }
  };

  return {
    async resolve(image) {
      if (image.includes('@')) return image;
      const authconfig = loginOf(registryOf(image));
      try {
        const call = docker
          .getImage(withTag(image))
          .distribution({ ...(authconfig && { authconfig }) });
        const { Descriptor } = await withDeadline('the digest', DIGEST_TIMEOUT_MS, call);
        return withDigest(image, Descriptor.digest);
      } catch (error) {
        const reason = daemonMessage(error);
        logger?.info({ image, reason }, 'registry has no digest for an image; its name is used');
        return image;
      }
    },

    async pull(image, timeoutMs, reportProgress) {
      const pull = join(image, timeoutMs);
      const { ended, progress } = pull;
      const extensionMs = Math.max(timeoutMs, PULL_EXTENSION_MS);
      const finished = ended.then(
        () => true,
        () => true,
      );
      do {
        const { done } = progress;
        const percent = done === undefined ? '' : ` (${Math.floor(done * 100)} %)`;
        const sentences = [`Pulling the image ${image}${percent}.`, pull.problem ?? stallText()];
        const message = sentences.filter((text) => text !== undefined).join(' ');
        if (!(await reportProgress({ step: 'pulling', done, message }, extensionMs))) return false;
      } while (!(await Promise.race([finished, sleep(PULL_REPORT_INTERVAL_MS, false)])));
      await ended;
      return reportProgress({ step: 'creating', message: 'Creating the container.' }, timeoutMs);

      function stallText(): string | undefined {
        const stalled = performance.now() - progress.changedAt;
        if (stalled < stallMs) return undefined;
        const seconds = Math.round(stalled / 1000);
        const last = progress.last === '' ? 'no answer of the registry' : progress.last;
        if (progress.isNewStall()) {
          const fields = { image, seconds, last, done: progress.done };
          logger?.warn(fields, 'pull stalled: the registry sends nothing');
        }
        return `No progress for ${seconds} s. Last: ${last}.`;
      }
    },
  };
}

/** Pauses between attempts are at most this long, ms. */
const MAX_RETRY_MS = 10_000;

const DENIED =
  /unauthorized|no basic auth credentials|denied|authentication required|authorization failed|incorrect username|forbidden|\bHTTP 40[13]\b|status[^\n]{0,200}\b40[13]\b|pull rate limit/i;
const ABSENT = /manifest unknown|name unknown|not found|invalid reference|\blookup /i;
const PASSING =
  /connection reset|broken pipe|\bEOF\b|handshake timeout|i\/o timeout|client\.timeout|deadline exceeded|toomanyrequests|too many requests|internal server error|bad gateway|service unavailable|gateway time-?out|(?:HTTP|status|code)[^\n]{0,200}\b(?:429|5\d\d)\b|ended before the pull was complete/i;

/** Whether the reason of a failed pull may pass: an overloaded registry, or a lost connection. */
export function isPassing(reason: string): boolean {
  return !DENIED.test(reason) && !ABSENT.test(reason) && PASSING.test(reason);
}

/** The message for the operator. It names the registry, and how to log in. */
function failureText(
  image: string,
  registry: string,
  login: RegistryLogin | undefined,
  reason: string,
): string {
  const failed = `The image ${image} is not on this host, and pulling it failed: ${reason}`;
  if (!DENIED.test(reason)) return failed;
  const sources =
    '"registries" in ephemera.yml, or a Docker config.json that EPHEMERA_DOCKER_CONFIG names';
  const cure = login
    ? `The registry ${registry} refused its login. Check it in ${sources}, and check that its user may pull this image.`
    : `The registry ${registry} wants a login. Add it to ${sources}. If the image is public, check its name.`;
  return `${failed.replace(/[^.]$/, '$&.')} ${cure}`;
}

async function pullNow(
  docker: Docker,
  image: string,
  options: {
    readonly login: RegistryLogin | undefined;
    readonly progress: ReturnType<typeof pullProgress>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { login, progress, signal: abortSignal } = options;
  const answer = await docker.createImage(login, { fromImage: withTag(image), abortSignal });
  const lines = createInterface({ input: answer });
  // After a line with an error, the abort of the request is an error of the stream, which nobody reads.
  lines.on('error', () => undefined);
  for await (const line of lines) {
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
  /** Layers of other images. They are no progress of this pull. */
  const present = new Set<string>();
  let best = 0;
  let changedAt = performance.now();
  let last = '';
  let isReported = false;
  const touch = (): void => {
    changedAt = performance.now();
    isReported = false;
  };
  return {
    update({ id, status = '', progressDetail: { current = 0, total = 0 } = {} }: PullLine): void {
      // While the daemon waits for its own next attempt, it counts the seconds.
      if (!status.startsWith('Retrying')) touch();
      last = id === undefined ? status : `${status} ${id}`;
      const part = total > 0 ? Math.min(1, current / total) : 0;
      const done = doneOf(status, part);
      if (id !== undefined && done !== undefined) layers.set(id, done);
      if (id !== undefined && status === 'Already exists') present.add(id);
      let pulled = 0;
      for (const [layer, part] of layers) if (!present.has(layer)) pulled += part;
      best = Math.max(best, pulled);
    },
    touch,
    /** The most that attempts have pulled so far, in layers. */
    get best() {
      return best;
    },
    /** When the daemon last reported progress, as `performance.now()`. */
    get changedAt() {
      return changedAt;
    },
    /** The last status of the daemon, such as `Downloading 0123456789ab`. */
    get last() {
      return last;
    },
    /** Whether this stall is seen for the first time. */
    isNewStall(): boolean {
      const isNew = !isReported;
      isReported = true;
      return isNew;
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
