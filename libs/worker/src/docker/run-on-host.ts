import type Docker from 'dockerode';
import type { RunOnHost } from '../firewall.ts';
import { DEFAULT_TIMEOUT_MS, HELPER_TIMEOUT_MS } from '../limits.ts';
import { withDeadline } from './docker-client.ts';
import { removeAbandoned } from './helper-containers.ts';
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
  return async (script) => {
    const making = docker.createContainer({
      Image: image,
      User: '0',
      Entrypoint: ['/bin/sh', '-c'],
      Cmd: [script],
      Labels: helperLabels(namespace, 'firewall'),
      HostConfig: {
        NetworkMode: 'host',
        CapDrop: ['ALL'],
        CapAdd: ['NET_ADMIN', 'NET_RAW'],
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
    const container = await withDeadline('firewall', DEFAULT_TIMEOUT_MS, making);
    try {
      const own = container.id;
      await removeAbandoned(docker, { namespace, role: 'firewall', own, after: abandoned });
      await withDeadline('firewall', DEFAULT_TIMEOUT_MS, container.start());
      const ended = (await withDeadline('firewall', HELPER_TIMEOUT_MS, container.wait())) as {
        StatusCode: number;
      };
      const read = async (tail: number): Promise<string> => {
        const call = container.logs({ stdout: true, stderr: true, tail });
        const log = await withDeadline('firewall', DEFAULT_TIMEOUT_MS, call);
        return log.toString('utf8').replace(/[^\x20-\x7e\n]/g, '');
      };
      // The rules are set even if the output cannot be read.
      if (ended.StatusCode === 0) return await read(200).catch(() => '');
      throw new Error(`the firewall script failed: ${await read(5)}`);
    } finally {
      // The next run removes what remains. An error here would hide the one of the script.
      const removal = container.remove({ force: true });
      await withDeadline('firewall', DEFAULT_TIMEOUT_MS, removal).catch(() => undefined);
    }
  };
}
