import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Instance, Template } from '@ephemera/domain';
import { pendingLease } from '@ephemera/domain';
import { sampleDraft, sampleTemplate } from '@ephemera/testing';
import type Docker from 'dockerode';
import { connectDocker } from '../src/docker/connect-docker.ts';
import { dockerContainers } from '../src/docker/docker-containers.ts';
import { ensureNetwork } from '../src/docker/instances-network.ts';
import { imagePulls } from '../src/docker/pull-image.ts';

export const DOCKER_HOST = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
export const HOST = 'test-host';
const IMAGE = 'ephemera/demo';

const run = promisify(execFile);

/**
 * A deployment of the test's own on the machine's Docker daemon: a namespace that nobody else
 * has, its network, and everything gone again after `close`.
 */
export async function openDocker() {
  const docker = connectDocker(DOCKER_HOST);
  await requireImage(docker);
  const namespace = `test-${randomBytes(4).toString('hex')}`;
  const network = await ensureNetwork(docker, namespace);
  const { first } = network.range;
  const pulls = imagePulls(docker, 20_000);
  const now = () => Promise.resolve(Date.now());
  const place = { docker, namespace, host: HOST, network: network.name, now, pulls };
  const containers = dockerContainers(place);
  let turn = 0;
  /** The addresses of the range, one after the other. */
  const nextAddress = () => Promise.resolve(dotted(first + ++turn));
  return {
    docker,
    namespace,
    network,
    place,
    containers,
    async start(instance: Instance, next = nextAddress) {
      const started = await containers.start(instance, next, () => Promise.resolve(true));
      if (!started) throw new Error('it was ended meanwhile');
      return started;
    },
    close: () => removeAll(namespace),
  };
}

export type DockerScene = Awaited<ReturnType<typeof openDocker>>;

/** Takes everything of a namespace away, as an operator would. */
export async function removeAll(namespace: string): Promise<void> {
  const env = { ...process.env, EPHEMERA_NAMESPACE: namespace };
  await run(process.execPath, [join(import.meta.dirname, '../src/remove-all.ts')], { env });
}

/** An instance that a worker of this host has begun. */
export function begunInstance(template: Partial<Template> = {}, env = {}): Instance {
  const draft = sampleDraft({ template: sampleTemplate({ image: IMAGE, ...template }), env });
  const now = Date.now();
  return {
    ...draft,
    ...pendingLease(now, draft.template.ready.within, draft.template.maxTimeout),
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

export function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

async function requireImage(docker: Docker): Promise<void> {
  const found = await docker
    .getImage(IMAGE)
    .inspect()
    .catch(() => undefined);
  if (found) return;
  await run(process.execPath, [join(import.meta.dirname, '../../cli/src/prepare-tests.ts')]);
}
