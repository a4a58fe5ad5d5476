import { BootError } from '@ephemera/domain';
import type { Reporter } from '../terminal/reporter.ts';
import { defaultDockerEndpoint, describeEndpoint, parseDockerHost } from './docker-endpoint.ts';
import { installPackages, missingPackages, type Package } from './install-packages.ts';
import { pingDocker } from './ping-docker.ts';
import { startDocker, type StartDockerOptions } from './start-docker.ts';

const enginePackages: readonly Package[] = [
  { name: 'docker.io', program: 'dockerd' },
  { name: 'iptables', program: 'iptables' },
];

export interface DockerOptions extends StartDockerOptions {
  /** DOCKER_HOST, where it is set. */
  readonly dockerHost: string | undefined;
}

/**
 * Makes sure that a Docker Engine answers: the one that `DOCKER_HOST` names, else the machine's
 * own, which is installed and started where need be.
 *
 * @returns the value for `DOCKER_HOST`
 */
export async function findDocker(report: Reporter, options: DockerOptions): Promise<string> {
  const { dockerHost, stop } = options;
  const input = dockerHost ? parseDockerHost(dockerHost) : undefined;
  const endpoint = input ?? defaultDockerEndpoint;
  const address = describeEndpoint(endpoint);
  const answer = await pingDocker(endpoint);
  if (answer.kind === 'forbidden') {
    throw new BootError(
      `This user may not use ${address}. Run as root, or join the group that may:\n\n` +
        '    sudo usermod -aG docker "$USER"    # then log in again\n',
    );
  }
  if (answer.kind === 'broken') throw new BootError(`${address} is no Docker: ${answer.problem}.`);
  if (answer.kind === 'running') {
    report.done('Docker', `${answer.engine} at ${address}`);
    return address;
  }
  if (input) throw new BootError(`No Docker answers at ${address}, which DOCKER_HOST names.`);

  const missing = missingPackages(enginePackages);
  if (missing.length > 0) {
    await report.step('Install Docker', (onProgress) => installPackages(missing, onProgress, stop));
    stop.throwIfAborted();
  }
  await report.step('Docker', async (onProgress) => {
    onProgress(`${await startDocker(endpoint, options, onProgress)} started at ${address}`);
  });
  return address;
}
