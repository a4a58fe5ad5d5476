import { EXEC_WORKER_LENGTH } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { execPermissionOf } from '@ephemera/lifecycle';
import type { Containers, Instances } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { HostAddresses, Store } from '@ephemera/store';
import type { DockerClient } from '../docker/docker-client.ts';
import { execProcesses } from '../docker/exec-processes.ts';
import type { ExecProcesses } from '../docker/exec-processes.ts';
import { runCommand } from '../docker/run-command.ts';
import type { HostOperation } from '../host-interface/host-interface.ts';
import { createExecEngine } from './exec-engine.ts';
import { execOperations } from './exec-operations.ts';

interface ExecOptions {
  readonly docker: DockerClient;
  readonly namespace: string;
  readonly host: string;
  /** Image of the helper that signals processes. Undefined: this process does it. */
  readonly helperImage: string | undefined;
  readonly containers: Pick<Containers, 'running'>;
  readonly instances: Pick<Instances, 'get' | 'ofHost'>;
  readonly recordExec: Store['recordExec'];
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
    recordExec: options.recordExec,
  });
  let known: ReadonlySet<string> | undefined;

  return {
    operations: execOperations(engine) as readonly [name: string, HostOperation][],
    stop: () => engine.stop(),

    /**
     * Kills the commands of workers that have died: nothing can attach to them. Looks at the
     * containers only if a worker of this host is new or is no longer registered.
     */
    async killLost(): Promise<void> {
      const registered = await options.addresses.of(host, options.now());
      const live = new Set(registered.map((address) => workerOf(address.fingerprint)));
      live.add(workerOf(fingerprint));
      const isUnchanged =
        known?.size === live.size && [...live].every((worker) => known?.has(worker));
      if (isUnchanged) return;
      const killed = await killCommands(
        { containers, processes, instances: await instances.ofHost(host), logger },
        (execId) => !live.has(workerOf(execId)),
      );
      known = live;
      if (killed.length > 0) logger.warn({ execIds: killed }, 'commands of a dead worker killed');
    },
  };
}

function workerOf(text: string): string {
  return text.slice(0, EXEC_WORKER_LENGTH);
}

/** Kills the commands that match. Returns their ids. */
async function killCommands(
  ports: {
    readonly containers: Pick<Containers, 'running'>;
    readonly processes: ExecProcesses;
    readonly instances: readonly Instance[];
    readonly logger: Logger;
  },
  matches: (execId: string) => boolean,
): Promise<string[]> {
  const { containers, processes, instances, logger } = ports;
  const killed: string[] = [];
  for (const { id, state, template } of instances) {
    // A frozen process does not end. It cannot outlive its instance either.
    if (state !== 'ready' || execPermissionOf(template) === 'off') continue;
    try {
      for (const containerId of await containers.running(id)) {
        const found = (await processes.list(containerId)).filter(matches);
        for (const execId of found) await processes.signal(containerId, execId, 'KILL');
        killed.push(...found);
      }
    } catch (error) {
      logger.warn({ err: error, id }, 'commands of a dead worker not killed');
    }
  }
  return killed;
}
