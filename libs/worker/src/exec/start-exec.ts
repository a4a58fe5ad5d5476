import { isDead } from '@ephemera/domain';
import { execPermissionOf } from '@ephemera/lifecycle';
import type { Containers, Instances } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { HostAddresses, Store } from '@ephemera/store';
import type { DockerClient } from '../docker/docker-client.ts';
import { execProcesses } from '../docker/exec-processes.ts';
import type { ExecProcesses } from '../docker/exec-processes.ts';
import { runCommand } from '../docker/run-command.ts';
import type { HostOperation } from '../host-interface/host-interface.ts';
import { fileOperations } from '../files/file-operations.ts';
import { HEARTBEAT_INTERVAL_MS } from '../limits.ts';
import { createExecEngine } from './exec-engine.ts';
import { execOperations } from './exec-operations.ts';
import { limitCalls } from './limit-calls.ts';
import { createLiveWorkers, workerOf } from './live-workers.ts';

interface ExecOptions {
  readonly docker: DockerClient;
  readonly namespace: string;
  readonly host: string;
  /** Image of the helper that signals processes. Undefined: this process does it. */
  readonly helperImage: string | undefined;
  readonly containers: Pick<Containers, 'running'>;
  readonly instances: Pick<Instances, 'get' | 'ofHost'>;
  readonly recordUse: Store['recordUse'];
  readonly addresses: Pick<HostAddresses, 'of'>;
  /** The store's clock, epoch ms. */
  readonly now: () => number;
  readonly logger: Logger;
}

/**
 * The commands that clients run in the instances of this host.
 * @param fingerprint SHA-256 of the certificate of this worker
 */
export function startExec(options: ExecOptions, fingerprint: string) {
  const { docker, namespace, host, helperImage, containers, instances, logger } = options;
  const processes = execProcesses(docker, { namespace, image: helperImage });
  const engine = createExecEngine({
    containerOf: async ({ id }) => (await containers.running(id))[0],
    run: (containerId, execId, request) =>
      runCommand(docker.getContainer(containerId), execId, request),
    ...{ processes, instances, fingerprint, logger },
    recordUse: options.recordUse,
  });
  const limited = limitCalls();
  const workers = createLiveWorkers(2 * HEARTBEAT_INTERVAL_MS);
  /** Instances that may have commands of dead workers. Undefined: not read since workers changed. */
  let unsearched: Set<string> | undefined;

  return {
    operations: [
      ...execOperations(engine, limited),
      ...fileOperations(engine, limited),
    ] as readonly [name: string, HostOperation][],
    stop: () => engine.stop(),

    /**
     * Kills the commands of workers that have died: nothing can attach to them. Searches each container
     * once after a worker of this host is new or is no longer registered, and again if that failed.
     */
    async killLost(): Promise<void> {
      const registered = await options.addresses.of(host, options.now());
      const fingerprints = [...registered.map((address) => address.fingerprint), fingerprint];
      const { hasChanged, live } = workers.observe(fingerprints, performance.now());
      if (hasChanged) unsearched = undefined;
      if (!live || unsearched?.size === 0) return;
      const isLost = (execId: string) => !live.has(workerOf(execId));
      const present = (await instances.ofHost(host)).filter(
        ({ id, state, template }) =>
          (unsearched?.has(id) ?? true) && !isDead(state) && execPermissionOf(template) !== 'off',
      );
      const left = new Set(present.map(({ id }) => id));
      unsearched = left;
      for (const { id, state } of present) {
        // A frozen process does not end. Its instance is searched when it is resumed.
        if (state !== 'ready') continue;
        try {
          const execIds = await killIn({ containers, processes }, id, isLost);
          left.delete(id);
          if (execIds.length > 0) logger.warn({ id, execIds }, 'commands of a dead worker killed');
        } catch (error) {
          logger.warn({ err: error, id }, 'commands of a dead worker not killed; trying again');
        }
      }
    },
  };
}

/**
 * Kills the commands of an instance that match. Returns their ids.
 * @throws Error if some are left
 */
async function killIn(
  ports: { readonly containers: Pick<Containers, 'running'>; readonly processes: ExecProcesses },
  id: string,
  matches: (execId: string) => boolean,
): Promise<string[]> {
  const killed: string[] = [];
  for (const containerId of await ports.containers.running(id)) {
    const execIds = (await ports.processes.list(containerId)).filter(matches);
    if (execIds.length === 0) continue;
    await ports.processes.signal(containerId, { execIds }, 'KILL');
    killed.push(...execIds);
  }
  return killed;
}
