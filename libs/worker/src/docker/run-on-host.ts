import type Docker from 'dockerode';
import type { RunOnHost } from '../firewall.ts';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';
import { LABEL } from './labels.ts';

/** How long the helper container may take, milliseconds. */
const TIMEOUT_MS = 60_000;

/** How old one is that nobody waits for any more, milliseconds: longer than any of them may take. */
const ABANDONED = 180_000;

/** How much memory it may take, bytes; a shell and iptables take a few MiB. */
const MEMORY = 64 * 1024 ** 2;
const TMPFS = 'rw,noexec,nosuid,nodev,size=1m';

/**
 * For a worker that is a container itself: runs the script in a container of a moment that stands
 * in the host's network and may change its firewall, so that the worker need not. What a worker
 * that died has left behind goes with the next one, once it is `abandoned` ms old.
 */
export function runInHostNetwork(
  docker: Docker,
  namespace: string,
  image: string,
  abandoned = ABANDONED,
): RunOnHost {
  const filters = { label: [`${LABEL.namespace}=${namespace}`, `${LABEL.role}=firewall`] };

  /** Ages are told from one's own: so no clock but the daemon's counts. */
  const removeAbandoned = async (own: string): Promise<void> => {
    const found = await withDeadline(
      'firewall',
      DEFAULT_TIMEOUT_MS,
      docker.listContainers({ all: true, filters }),
    );
    const { Created: now = 0 } = found.find(({ Id }) => Id === own) ?? {};
    for (const { Id, Created } of found) {
      if (Id === own || (now - Created) * 1000 < abandoned) continue;
      const removal = docker.getContainer(Id).remove({ force: true });
      await ignoreStatus([404, 409], withDeadline('firewall', DEFAULT_TIMEOUT_MS, removal));
    }
  };

  return async (script) => {
    const making = docker.createContainer({
      Image: image,
      User: '0',
      Entrypoint: ['/bin/sh', '-c'],
      Cmd: [script],
      Labels: { [LABEL.namespace]: namespace, [LABEL.role]: 'firewall' },
      HostConfig: {
        NetworkMode: 'host',
        CapDrop: ['ALL'],
        CapAdd: ['NET_ADMIN', 'NET_RAW'],
        ReadonlyRootfs: true,
        // For the lock of iptables, and for what some shells are given in a script.
        Tmpfs: { '/run': TMPFS, '/tmp': TMPFS },
        Memory: MEMORY,
        MemorySwap: MEMORY,
        PidsLimit: 64,
        SecurityOpt: ['no-new-privileges:true'],
        RestartPolicy: { Name: 'no' },
        // Others may not be readable.
        LogConfig: { Type: 'json-file', Config: {} },
      },
    });
    const container = await withDeadline('firewall', DEFAULT_TIMEOUT_MS, making);
    try {
      await removeAbandoned(container.id).catch(() => undefined);
      await withDeadline('firewall', DEFAULT_TIMEOUT_MS, container.start());
      const ended = (await withDeadline('firewall', TIMEOUT_MS, container.wait())) as {
        StatusCode: number;
      };
      const read = async (tail: number): Promise<string> => {
        const call = container.logs({ stdout: true, stderr: true, tail });
        const log = await withDeadline('firewall', DEFAULT_TIMEOUT_MS, call);
        return log.toString('utf8').replace(/[^\x20-\x7e\n]/g, '');
      };
      // The rules are set, whether or not the daemon gives what was printed.
      if (ended.StatusCode === 0) return await read(200).catch(() => '');
      throw new Error(`the rules were refused: ${await read(5)}`);
    } finally {
      const removal = container.remove({ force: true });
      await withDeadline('firewall', DEFAULT_TIMEOUT_MS, removal).catch(() => undefined);
    }
  };
}
