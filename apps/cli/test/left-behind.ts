import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
  readonly environment: string;
}

/** Lists what a deployment has on this machine: processes, containers, networks, firewall rules. */
export function leftBehind(namespace: string) {
  const docker = (...args: string[]) =>
    execFileSync('docker', args, { encoding: 'utf8', stdio: 'pipe' }).trim();
  const label = `label=ephemera.namespace=${namespace}`;

  return {
    docker,

    /** Processes whose environment contains the namespace. */
    processes(): FoundProcess[] {
      const pids = execFileSync('ps', ['-eo', 'pid='], { encoding: 'utf8' }).trim().split(/\s+/);
      return pids.flatMap((pid) => {
        try {
          const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
          const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
          const ours = environment.includes(`EPHEMERA_NAMESPACE=${namespace}\0`);
          return ours ? [{ pid: Number(pid), command, environment }] : [];
        } catch {
          // The process has ended meanwhile.
          return [];
        }
      });
    },

    /** Ids of containers in any state. */
    containers(...filters: string[]): string[] {
      const all = [label, ...filters].flatMap((text) => ['--filter', text]);
      return docker('ps', '-aq', '--no-trunc', ...all)
        .split('\n')
        .filter(Boolean);
    },

    networks(): string[] {
      const names = docker('network', 'ls', '--format', '{{.Name}}').split('\n');
      return names.filter((name) => name === namespace || name.startsWith(`${namespace}.`));
    },

    /** The interface of the instances' network. */
    bridge(): string {
      const format = '{{index .Options "com.docker.network.bridge.name"}}';
      return docker('network', 'inspect', '--format', format, namespace);
    },

    /**
     * Rules of IPv4 that name a bridge. The port of the responder to names is another one after each
     * start of the worker, so it is left out.
     */
    rules(bridge: string): string[] {
      const all = ['filter', 'nat'].flatMap((table) =>
        execFileSync('iptables', ['-w', '5', '-t', table, '-S'], { encoding: 'utf8' }).split('\n'),
      );
      return all
        .filter((rule) => rule.toLowerCase().includes(bridge.toLowerCase()))
        .map((rule) => rule.replace(/(--dport |--to-destination [\d.]+:)\d{4,5}/, '$1PORT'));
    },
  };
}
