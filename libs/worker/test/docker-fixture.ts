import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Instance, Template } from '@ephemera/domain';
import { createLogger } from '@ephemera/process';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { connectDocker } from '../src/docker/docker-client.ts';
import { dockerContainers } from '../src/docker/docker-containers.ts';
import { ensureNetwork } from '../src/docker/instances-network.ts';
import { instancesNetworks } from '../src/docker/instances-networks.ts';
import type { NetworksOptions } from '../src/docker/instances-networks.ts';
import { imagePulls } from '../src/docker/pull-image.ts';
import { limitConcurrency } from '../src/concurrency-limit.ts';
import { removeSince } from '../src/remove-since.ts';
import { NOTHING } from '../src/snapshot.ts';

export const DOCKER_HOST = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
export const HOST = 'test-host';
const IMAGE = 'ephemera/demo';

const run = promisify(execFile);
const logger = createLogger('test', 'silent');

/**
 * A deployment of one test on the machine's Docker daemon, with a unique namespace and a network.
 * `close` removes everything.
 */
export async function openDocker(options: Partial<NetworksOptions> = {}) {
  const { docker = connectDocker(DOCKER_HOST) } = options;
  await requireImage(docker);
  const namespace = `test-${randomBytes(4).toString('hex')}`;
  const network = await ensureNetwork(docker, namespace);
  const networks = await instancesNetworks({
    docker,
    namespace,
    subnets: undefined,
    portsPerNetwork: 1000,
    prepare: () => Promise.resolve(),
    claim: () => Promise.resolve(undefined),
    keep: () => undefined,
    logger,
    ...options,
  });
  const pulls = imagePulls(docker, 20_000);
  const now = () => Promise.resolve(Date.now());
  const resolvers = ['203.0.113.53'];
  const startLimit = limitConcurrency(8);
  const place = {
    docker,
    namespace,
    host: HOST,
    networks,
    resolvers,
    now,
    pulls,
    startLimit,
    cpuPeriod: 10,
  };
  const containers = dockerContainers(place);
  let index = 0;
  /** The indexes of the address range, in order. */
  const nextAddressIndex = () => Promise.resolve(++index);
  return {
    docker,
    namespace,
    network,
    networks,
    place,
    containers,
    async start(instance: Instance, next = nextAddressIndex) {
      const started = await containers.start(instance, next, () => Promise.resolve(true));
      if (!started) throw new Error('it was ended meanwhile');
      return started;
    },
    close: () => removeAll(namespace),
  };
}

export type DockerFixture = Awaited<ReturnType<typeof openDocker>>;

/** Removes everything of a namespace from a Docker daemon and the firewall of this machine. */
export async function removeAll(namespace: string, docker = connectDocker(DOCKER_HOST)) {
  const config = { namespace, firewall: 'auto', firewallImage: undefined } as const;
  const options = { docker, config, host: HOST, store: undefined, before: NOTHING, keep: false };
  const { remaining, problems } = await removeSince(options, 0);
  const left = [...remaining.before, ...remaining.kept];
  if (problems.length + left.length > 0) throw new Error([...problems, ...left].join('\n'));
}

/** An instance that is assigned to this host. */
export function assignedInstance(template: Partial<Template> = {}, env = {}): Instance {
  const draft = sampleDraft({ template: sampleTemplate({ image: IMAGE, ...template }), env });
  const now = Date.now();
  return {
    ...draft,
    expiresAt: now + draft.template.ready.within,
    maxExpiresAt: now + draft.template.maxTimeout,
    generation: 7,
    supersedes: undefined,
    state: 'starting',
    reason: undefined,
    message: undefined,
    lastTransitionAt: now,
    host: HOST,
    address: undefined,
    createdAt: now,
    startedAt: undefined,
  };
}

/** An address as a number. */
export function numbered(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export async function requireImage(docker: Docker): Promise<void> {
  const found = await docker
    .getImage(IMAGE)
    .inspect()
    .catch(() => undefined);
  if (found) return;
  await run(process.execPath, [
    join(import.meta.dirname, '../../../apps/cli/src/prepare-tests.ts'),
  ]);
}
