import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { respondToNames } from '../name-responder.ts';
import type { NameResponder } from '../name-responder.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import type { InstancesNetwork } from './instances-network.ts';
import { helperLabels, LABEL } from './labels.ts';

/** Responders to DNS queries, one at the gateway address of each network. */
export interface GatewayNames {
  /**
   * Starts the responder of a network unless it runs. Returns its port.
   * @throws Error if it cannot run
   */
  ensure(network: InstancesNetwork): Promise<number>;
  /** Stops the responders in this process. Helper containers go on. */
  close(): void;
}

/** For a worker that runs on the Docker host: in this process. */
export function answerNamesHere(): GatewayNames {
  const responders = new Map<string, Promise<NameResponder>>();
  return {
    async ensure({ gateway }) {
      const responder = responders.get(gateway) ?? respondToNames(gateway);
      responders.set(gateway, responder);
      try {
        return (await responder).port;
      } catch (error) {
        responders.delete(gateway);
        throw error;
      }
    },
    close() {
      for (const responder of responders.values()) {
        responder.then(
          (running) => running.close(),
          () => undefined,
        );
      }
      responders.clear();
    },
  };
}

/** The role in the labels of the helper. */
const ROLE = 'names';
/** Memory limit of the helper, bytes. */
const MEMORY = 128 * 1024 ** 2;
const LISTEN_TIMEOUT_MS = 10_000;
const POLL_MS = 100;
const SOURCE = new URL('../name-responder.ts', import.meta.url);

/**
 * The arguments of a Node process that answers names at an address. It prints `port NUMBER`. The
 * source is an argument, so that it needs no file.
 */
export async function namesProgram(gateway: string): Promise<string[]> {
  const source = await readFile(SOURCE, 'utf8');
  // console.log would color the number where FORCE_COLOR is set.
  const start = `process.stdout.write('port ' + (await respondToNames('${gateway}')).port + '\\n');`;
  return ['--input-type=module-typescript', '--eval', `${source}\n${start}`];
}

/**
 * For a worker that runs in a container: in a helper container in the host network. It outlives the
 * worker, and the workers of one daemon share it.
 *
 * @param image an image with Node 24 or later
 */
export function answerNamesInHostNetwork(
  docker: Docker,
  namespace: string,
  image: string,
): GatewayNames {
  /** The ports by container id and time of its start. */
  const ports = new Map<string, number>();
  /** The helpers whose program this worker has checked. */
  const checked = new Set<string>();

  const inspect = (name: string) => {
    const call = docker.getContainer(name).inspect();
    return ignoreStatus([404], withDeadline('names', DEFAULT_TIMEOUT_MS, call));
  };

  const remove = (id: string) => {
    const call = docker.getContainer(id).remove({ force: true });
    return ignoreStatus([404, 409], withDeadline('names', DEFAULT_TIMEOUT_MS, call));
  };

  const start = async (name: string, program: readonly string[]): Promise<void> => {
    const creation = docker.createContainer({
      name,
      Image: image,
      User: '65534:65534',
      Entrypoint: ['node', '--max-old-space-size=32'],
      Cmd: [...program],
      Labels: helperLabels(namespace, ROLE),
      HostConfig: {
        NetworkMode: 'host',
        Init: true,
        CapDrop: ['ALL'],
        ReadonlyRootfs: true,
        Memory: MEMORY,
        MemorySwap: MEMORY,
        NanoCpus: 500_000_000,
        PidsLimit: 64,
        SecurityOpt: ['no-new-privileges:true'],
        RestartPolicy: { Name: 'no' },
        // The log must be readable; other drivers may not support that.
        LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
      },
    });
    // 409: another worker has created it.
    const made = await ignoreStatus([409], withDeadline('names', DEFAULT_TIMEOUT_MS, creation));
    if (!made) return;
    try {
      await withDeadline('names', DEFAULT_TIMEOUT_MS, made.start());
    } catch (error) {
      await remove(made.id);
      throw error;
    }
  };

  const readLog = async (id: string): Promise<string> => {
    const call = docker.getContainer(id).logs({ stdout: true, stderr: true, tail: 5 });
    const log = await withDeadline('names', DEFAULT_TIMEOUT_MS, call);
    return log.toString('utf8').replace(/[^\x20-\x7e\n]/g, '');
  };

  const ensureHelper = async ({ name: network, gateway }: InstancesNetwork): Promise<number> => {
    const name = `${network}-names`;
    const known = `${name} ${gateway}`;
    const program = await namesProgram(gateway);
    const end = performance.now() + LISTEN_TIMEOUT_MS;
    for (let isOwn = false; performance.now() < end; await sleep(POLL_MS, true)) {
      const found = await inspect(name);
      if (found && found.Config.Labels[LABEL.role] !== ROLE) {
        throw new Error(`the container ${name} is not of Ephemera; rename or remove it`);
      }
      // Checked once: workers of two versions would replace each other's helper for ever.
      const isCurrent = checked.has(known) || found?.Config.Cmd.at(-1) === program.at(-1);
      if (found && isCurrent && found.State.Running) {
        const run = `${found.Id} ${found.State.StartedAt}`;
        const port = ports.get(run) ?? portIn(await readLog(found.Id));
        if (port === undefined) continue;
        checked.add(known);
        ports.set(run, port);
        return port;
      }
      // Another worker is about to start it.
      if (isCurrent && found?.State.Status === 'created') continue;
      if (found && isOwn) throw new Error(`it ended: ${(await readLog(found.Id)).trim()}`);
      if (found) await remove(found.Id);
      await start(name, program);
      isOwn = true;
    }
    // A container that its worker has never started would block the name. A running one may answer
    // at the next call.
    if ((await inspect(name))?.State.Status === 'created') await remove(name);
    throw new Error(`the container ${name} does not answer names after ${LISTEN_TIMEOUT_MS} ms`);
  };

  /** The calls that go on, by network: a caller that stops waiting must not start a second one. */
  const pending = new Map<string, Promise<number>>();
  return {
    ensure(network) {
      const { name } = network;
      const call = pending.get(name) ?? ensureHelper(network).finally(() => pending.delete(name));
      pending.set(name, call);
      return call;
    },
    close: () => undefined,
  };
}

function portIn(log: string): number | undefined {
  // A restarted container continues its log.
  const port = [...log.matchAll(/port (\d+)$/gm)].at(-1)?.[1];
  return port === undefined ? undefined : Number(port);
}
