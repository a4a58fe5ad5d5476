import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTemplates } from '@ephemera/config';
import type { TemplateSet } from '@ephemera/config';
import { BootError, EARLY_EXIT_MS, newId, policyViolations } from '@ephemera/domain';
import type { Hint, Instance, Policy } from '@ephemera/domain';
import { ContainerStartError, kill, reportExit, spawn } from '@ephemera/lifecycle';
import type { Containers, ProbeResult, SpawnPorts } from '@ephemera/lifecycle';
import { createLogger } from '@ephemera/process';
import { limitConcurrency } from '../concurrency-limit.ts';
import { answeringNames } from '../connect-host.ts';
import type { WorkerConfig } from '../create-worker.ts';
import { hostCapacity, requireLimits } from '../docker/daemon-info.ts';
import {
  connectDocker,
  daemonMessage,
  ignoreStatus,
  withDeadline,
} from '../docker/docker-client.ts';
import type { DockerClient as Docker } from '../docker/docker-client.ts';
import { dockerContainers } from '../docker/docker-containers.ts';
import { ensureNetwork } from '../docker/instances-network.ts';
import { instancesNetworks } from '../docker/instances-networks.ts';
import { imagePulls } from '../docker/pull-image.ts';
import { createFirewall } from '../firewall.ts';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { probe, probePage } from '../probe.ts';
import { runOnHostOf } from '../snapshot.ts';
import { limitsCheck, policyCheck, withStartChecks } from '../start-checks.ts';
import { fileText, ladder, linesOf } from './rights.ts';
import type { CostlyLine } from './rights.ts';
import { searchRights } from './search.ts';
import type { Attempt, Outcome } from './search.ts';
import { removeEndedTrials, removeTrial, TRIAL_HOST, trialNamespace } from './trial-namespaces.ts';

export interface TryOptions {
  readonly config: Omit<WorkerConfig, 'redis' | 'bind' | 'port'>;
  /** The policy of the operator. Its lists of profiles and capabilities do not count. */
  readonly policy: Policy;
  readonly image: string;
  /** Undefined: the only port that the image exposes. */
  readonly port: number | undefined;
  /** The longest time until the image serves, ms. */
  readonly maxMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

export interface TryResult {
  readonly works: boolean;
  readonly image: string;
  readonly port: number;
  /** An `ephemera.yml` with the template that works, or with the last one that was tried. */
  readonly file: string;
  /** The lines beyond `image` and `port`, each with its cost. */
  readonly lines: readonly CostlyLine[];
  readonly attempts: number;
  /** Why the last start failed, with the last lines of the log. */
  readonly message?: string | undefined;
  readonly hint?: Hint | undefined;
}

const POLL_MS = 250;
/** How often an exit is looked for after a connection that failed. */
const EXIT_POLLS = 12;

/**
 * Looks for the shortest template with which an image serves. It starts containers as a worker does,
 * in a namespace and a network of their own, and removes all of them at the end.
 * @throws BootError if the image cannot be tried, and the reason of `signal` if it aborts
 */
export async function tryImage(options: TryOptions): Promise<TryResult> {
  const { config, policy, image, maxMs, signal, onProgress } = options;
  const docker = connectDocker(config.dockerHost);
  await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping()).catch((error: unknown) => {
    throw new BootError(
      `Docker does not answer at ${config.dockerHost}: ${daemonMessage(error)}. Start the Docker Engine, or set DOCKER_HOST.`,
    );
  });
  await requireLimits(docker);
  await removeEndedTrials(docker, config, onProgress);
  const refused = policyViolations(policy, { image, capAdd: [] });
  if (refused.length > 0) {
    throw new BootError(
      `${config.configFile} does not allow this image: ${refused.map(({ detail }) => detail).join('; ')}.`,
    );
  }
  const exposed = await exposedPorts(docker, options);
  const port = options.port ?? onlyPort(image, exposed);
  const { memory } = await hostCapacity(docker, config.capacity);
  const trial = await openTrial(docker, options, memory);
  try {
    let count = 0;
    const attempt: Attempt = (rights, limitMs) => {
      signal.throwIfAborted();
      const lines = linesOf(rights).map(({ line }) => line);
      onProgress(`start ${++count}: ${lines.join(', ') || 'image and port only'}`);
      return trial.attempt(fileText({ image, port }, rights), limitMs);
    };
    const steps = ladder({ port, memory, within: `${Math.ceil(maxMs / 1000)}s` });
    const found = await searchRights({ attempt, ladder: steps, maxMs });
    const { rights, attempts, works } = found;
    const shown = { works, image, port, attempts, lines: linesOf(rights) };
    const file = fileText({ image, port }, rights, true);
    if (found.works) return { ...shown, file };
    return { ...shown, file, message: found.message, hint: found.hint };
  } finally {
    await trial.close();
  }
}

/**
 * The TCP ports that an image exposes. An absent image is pulled.
 * @throws BootError if it cannot be pulled
 */
async function exposedPorts(
  docker: Docker,
  { image, config, maxMs, signal, onProgress }: TryOptions,
): Promise<number[]> {
  const inspect = () => {
    const call = docker.getImage(image).inspect();
    return ignoreStatus([404], withDeadline('inspect', DEFAULT_TIMEOUT_MS, call));
  };
  let seen = await inspect();
  if (!seen) {
    const pulls = imagePulls(docker, config.pullTimeout, { readLogins: config.readLogins });
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => aborted.reject(signal.reason as Error));
    const pull = pulls.pull(image, maxMs, ({ message }) => {
      onProgress(message);
      return Promise.resolve(true);
    });
    await Promise.race([pull, aborted.promise]).catch((error: unknown) => {
      throw error instanceof ContainerStartError ? new BootError(error.message) : error;
    });
    seen = await inspect();
  }
  const { ExposedPorts: exposed } = (seen?.Config ?? {}) as {
    ExposedPorts?: Record<string, object> | null;
  };
  return Object.keys(exposed ?? {}).flatMap((text) => {
    const [number = '', protocol] = text.split('/');
    return protocol === 'udp' || protocol === 'sctp' ? [] : [Number(number)];
  });
}

/** @throws BootError if there is none, or several */
function onlyPort(image: string, ports: readonly number[]): number {
  const [only] = ports;
  if (ports.length === 1 && only !== undefined) return only;
  const list = ports.toSorted((a, b) => a - b).join(', ');
  const what = list === '' ? 'exposes no port (EXPOSE)' : `exposes several ports: ${list}`;
  throw new BootError(
    `The image ${image} ${what}. Name the port that the application listens on: --port N`,
  );
}

interface Trial {
  /** Starts a container with the template of a file, and removes it. */
  attempt(file: string, limitMs: number): Promise<Outcome>;
  /** Removes everything of the namespace. */
  close(): Promise<void>;
}

/** Prepares a namespace of its own with a network and its firewall rules, and no Redis. */
async function openTrial(
  docker: Docker,
  options: TryOptions,
  memory: number | undefined,
): Promise<Trial> {
  const { policy, signal, onProgress } = options;
  const namespace = await trialNamespace(options.config.namespace);
  const config = { ...options.config, namespace };
  const logger = createLogger('try', 'silent');
  const names = answeringNames(docker, config);
  const close = async (): Promise<void> => {
    names.close();
    await removeTrial(docker, config, onProgress);
  };
  try {
    const firewall = await createFirewall({
      network: await ensureNetwork(docker, namespace, config.subnets),
      mode: config.firewall,
      egress: config.egress,
      runOnHost: runOnHostOf(docker, config),
      names,
      logger,
    });
    const networks = await instancesNetworks({
      ...{ docker, namespace, subnets: config.subnets, logger },
      portsPerNetwork: config.networkInstances,
      prepare: (network) => firewall.secure(network),
      claim: () => Promise.resolve(undefined),
      keep: (found) => firewall.keep(found),
    });
    const pulls = imagePulls(docker, config.pullTimeout, { readLogins: config.readLogins });
    const created = dockerContainers({
      ...{ docker, namespace, host: TRIAL_HOST, networks, pulls },
      resolvers: config.egress.resolvers,
      now: () => Promise.resolve(Date.now()),
      cpuPeriod: config.cpuPeriod,
      startLimit: limitConcurrency(1),
    });
    let current: TemplateSet | undefined;
    // The file that is tried lists the profiles and capabilities that it needs.
    const tried = (): Policy => {
      const { profiles, capabilities } = current?.policy ?? policy;
      return { ...policy, profiles, capabilities };
    };
    const checks = [limitsCheck(memory), policyCheck(tried), firewall.startCheck];
    const containers = withStartChecks(created, checks);
    let index = 0;
    return {
      attempt(file, limitMs) {
        current = parseTemplates(file);
        const instance = instanceOf(current, limitMs);
        const nextIndex = () => ++index;
        return attemptOnce({ containers, instance, pageMs: options.maxMs, signal, nextIndex });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function instanceOf({ defaultTemplate }: TemplateSet, limitMs: number): Instance {
  const id = newId(randomBytes);
  const now = Date.now();
  const ready = { ...defaultTemplate.ready, within: limitMs };
  const template = { ...defaultTemplate, ready, stopGrace: 0 };
  return {
    id,
    template,
    generation: 1,
    supersedes: undefined,
    state: 'starting',
    ...{ reason: undefined, message: undefined, address: undefined, startedAt: undefined },
    lastTransitionAt: now,
    host: TRIAL_HOST,
    timeout: template.timeout,
    createdAt: now,
    expiresAt: now + limitMs,
    maxExpiresAt: now + limitMs + template.timeout,
    url: `http://${id}.localhost/`,
    env: {},
    metadata: {},
  };
}

/** Starts one instance as a worker does, sees whether it stays up and serves its page, and removes it. */
async function attemptOnce({
  containers,
  instance,
  pageMs,
  signal,
  nextIndex,
}: {
  readonly containers: Containers;
  readonly instance: Instance;
  /** The longest time until its page is served. */
  readonly pageMs: number;
  readonly signal: AbortSignal;
  readonly nextIndex: () => number;
}): Promise<Outcome> {
  const { id, generation, template } = instance;
  const begun = performance.now();
  const store = onlyInstance(instance);
  let containerId = '';
  const ports: SpawnPorts = {
    host: TRIAL_HOST,
    instances: store.instances,
    killJobs: { schedule: () => Promise.resolve(), cancel: () => Promise.resolve() },
    addresses: { next: () => Promise.resolve(nextIndex()) },
    containers: {
      ...containers,
      async start(...args) {
        const started = await containers.start(...args);
        containerId = started?.containerId ?? '';
        return started;
      },
    },
    probe,
    pause: (ms) => sleep(ms, undefined, { signal }),
  };
  try {
    const spawned = await spawn(ports, id, generation);
    if (spawned.kind !== 'ready') {
      const { message = 'The start failed.', hint } = store.ended ?? {};
      return { works: false, message, hint, isFinal: containerId === '' && hint === undefined };
    }
    const { address = '' } = spawned.instance;
    /** Undefined if it runs. */
    const exit = async () => {
      const seen = await containers.inspect(containerId);
      return seen?.running === true
        ? undefined
        : reportExit(containers, containerId, seen, template);
    };
    let tookMs = 0;
    let page: ProbeResult | undefined;
    void probePage(spawned.instance, address, pageMs).then((result) => {
      page = result;
      tookMs = performance.now() - begun;
    });
    const end = performance.now() + EARLY_EXIT_MS;
    while (page === undefined || performance.now() < end) {
      await sleep(POLL_MS, undefined, { signal });
      const report = await exit();
      if (report) return { works: false, ...report };
    }
    const last = page.ready ? await probe(instance, address, DEFAULT_TIMEOUT_MS) : page;
    if (last.ready) return { works: true, tookMs };
    // Its connections end before the daemon reports its exit.
    for (let polls = 0; polls < EXIT_POLLS; polls++) {
      await sleep(POLL_MS, undefined, { signal });
      const report = await exit();
      if (report) return { works: false, ...report };
    }
    return { works: false, message: last.finding };
  } catch (error) {
    signal.throwIfAborted();
    return { works: false, message: daemonMessage(error), isFinal: true };
  } finally {
    await kill(ports, id, 'request');
  }
}

/** The store of a single instance, in place of Redis. */
function onlyInstance(instance: Instance) {
  let ended: { readonly message: string | undefined; readonly hint: Hint | undefined } | undefined;
  const now = () => Promise.resolve(Date.now());
  const instances: SpawnPorts['instances'] = {
    now,
    get: () => Promise.resolve(instance),
    assignToHost: () => Promise.resolve(instance),
    async markReady() {
      const startedAt = await now();
      const { maxExpiresAt } = instance;
      return { startedAt, expiresAt: maxExpiresAt, maxExpiresAt };
    },
    startDraining(_id, reason, message, hint) {
      ended ??= { message, hint };
      const draining = { ...instance, state: 'draining', reason: 'start_failed' } as const;
      return Promise.resolve({
        kind: 'draining',
        instance: reason === 'start_failed' ? draining : { ...draining, reason: 'request' },
      });
    },
    finalize: () => Promise.resolve(true),
  };
  return {
    instances,
    get ended() {
      return ended;
    },
  };
}
