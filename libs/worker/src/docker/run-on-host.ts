import type Docker from 'dockerode';
import type { RunOnHost } from '../firewall.ts';
import { DEFAULT_TIMEOUT_MS, HELPER_TIMEOUT_MS } from '../limits.ts';
import { withDeadline } from './docker-client.ts';
import { removeAbandoned } from './helper-containers.ts';
import type { HelperRole } from './helper-containers.ts';
import { helperLabels } from './labels.ts';

/** Memory limit of the helper, bytes. A shell and iptables need a few MiB. */
const MEMORY = 64 * 1024 ** 2;
const TMPFS = 'rw,noexec,nosuid,nodev,size=1m';

/**
 * For a worker that runs in a container. Runs the script in a short-lived helper container in the
 * host network, so that the worker itself needs no rights on the firewall. Each run also removes
 * helpers that a dead worker has left for `abandoned` ms (default: three minutes).
 */
export function runInHostNetwork(
  docker: Docker,
  namespace: string,
  image: string,
  abandoned?: number,
): RunOnHost {
  return (script) =>
    runInHelper(docker, {
      ...{ namespace, image, role: 'firewall', script, abandoned },
      networkMode: 'host',
      capabilities: ['NET_ADMIN', 'NET_RAW'],
    });
}

/** What a helper container runs, and what it may do. */
interface HelperRun {
  readonly namespace: string;
  readonly image: string;
  readonly role: HelperRole;
  /** For `/bin/sh` of the image. */
  readonly script: string;
  readonly networkMode: 'host' | 'none';
  /** Whether it joins the process namespace of the host. Default: it has its own. */
  readonly hasHostProcesses?: boolean;
  readonly capabilities: readonly string[];
  /** Age at which other helpers of this role are removed, ms. Default: three minutes. */
  readonly abandoned?: number | undefined;
}

/**
 * Runs a script as root in a short-lived container with the given capabilities only, and returns its
 * output.
 * @throws Error with the end of the output if the script fails
 */
export async function runInHelper(docker: Docker, helper: HelperRun): Promise<string> {
  const { namespace, image, role, script, networkMode, hasHostProcesses, capabilities } = helper;
  const making = docker.createContainer({
    Image: image,
    User: '0',
    Entrypoint: ['/bin/sh', '-c'],
    Cmd: [script],
    Labels: helperLabels(namespace, role),
    HostConfig: {
      NetworkMode: networkMode,
      ...(hasHostProcesses === true && { PidMode: 'host' }),
      CapDrop: ['ALL'],
      CapAdd: [...capabilities],
      ReadonlyRootfs: true,
      // For the iptables lock file, and for here-documents of some shells.
      Tmpfs: { '/run': TMPFS, '/tmp': TMPFS },
      Memory: MEMORY,
      MemorySwap: MEMORY,
      PidsLimit: 64,
      SecurityOpt: ['no-new-privileges:true'],
      RestartPolicy: { Name: 'no' },
      // The log must be readable; other drivers may not support that.
      LogConfig: { Type: 'json-file', Config: {} },
    },
  });
  const container = await withDeadline(role, DEFAULT_TIMEOUT_MS, making);
  try {
    const own = container.id;
    await removeAbandoned(docker, { namespace, role, own, after: helper.abandoned });
    await withDeadline(role, DEFAULT_TIMEOUT_MS, container.start());
    const ended = (await withDeadline(role, HELPER_TIMEOUT_MS, container.wait())) as {
      StatusCode: number;
    };
    const read = async (tail: number): Promise<string> => {
      const call = container.logs({ stdout: true, stderr: true, tail });
      const log = await withDeadline(role, DEFAULT_TIMEOUT_MS, call);
      return log.toString('utf8').replace(/[^\x20-\x7e\n]/g, '');
    };
    // The script has done its work even if the output cannot be read.
    if (ended.StatusCode === 0) return await read(200).catch(() => '');
    throw new Error(`the ${role} script failed: ${await read(5)}`);
  } finally {
    // The next run removes what remains. An error here would hide the one of the script.
    const removal = container.remove({ force: true });
    await withDeadline(role, DEFAULT_TIMEOUT_MS, removal).catch(() => undefined);
  }
}
