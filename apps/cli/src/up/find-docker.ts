import { BootError } from '@ephemera/domain';
import type { Reporter } from '../terminal/reporter.ts';
import {
  defaultDockerEndpoint,
  describeEndpoint,
  parseDockerHost,
  pingDocker,
} from './docker-endpoint.ts';
import { installPackages, missingPackages, type Package } from './install-packages.ts';
import { startDocker, type StartDockerOptions } from './start-docker.ts';

const enginePackages: readonly Package[] = [
  { name: 'docker.io', program: 'dockerd' },
  { name: 'iptables', program: 'iptables' },
];

export interface DockerOptions extends StartDockerOptions {
  /** DOCKER_HOST, if set. */
  readonly dockerHost: string | undefined;
}

/**
 * Ensures that a Docker Engine answers: the one at `DOCKER_HOST`, or the machine's own, which is
 * installed and started if necessary.
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
      `This user has no permission to use ${address}. Run as root, or join its group:\n\n` +
        '    sudo usermod -aG docker "$USER"    # then log in again\n',
    );
  }
  if (answer.kind === 'broken')
    throw new BootError(`The server at ${address} is not a Docker Engine: ${answer.problem}.`);
  if (answer.kind === 'running') {
    report.done('Docker', `${answer.engine} at ${address}`);
    return address;
  }
  if (input)
    throw new BootError(`No Docker Engine answers at ${address}. Start it, or change DOCKER_HOST.`);

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
