import { Refusal } from '../refusal.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { defaultDockerEndpoint, describeEndpoint, parseDockerHost } from './docker-endpoint.ts';
import { installPackages, missingPackages, type Package } from './install-packages.ts';
import { pingDocker } from './ping-docker.ts';
import { startDocker } from './start-docker.ts';

const enginePackages: readonly Package[] = [
  { name: 'docker.io', program: 'dockerd' },
  { name: 'iptables', program: 'iptables' },
];

/**
 * Makes sure that a Docker Engine answers: the one that `DOCKER_HOST` names, else the machine's
 * own, which is installed and started where need be.
 *
 * @returns the value for `DOCKER_HOST`
 */
export async function findDocker(
  report: Reporter,
  dockerHost: string | undefined,
  logFile: string,
): Promise<string> {
  const given = dockerHost ? parseDockerHost(dockerHost) : undefined;
  const endpoint = given ?? defaultDockerEndpoint;
  const address = describeEndpoint(endpoint);
  const answer = await pingDocker(endpoint);
  if (answer.kind === 'forbidden') {
    throw new Refusal(
      `This user may not use ${address}. Run as root, or join the group that may:\n\n` +
        '    sudo usermod -aG docker "$USER"    # then log in again\n',
    );
  }
  if (answer.kind === 'broken') throw new Refusal(`${address} is no Docker: ${answer.problem}.`);
  if (answer.kind === 'running') {
    report.done('Docker', `${answer.engine} at ${address}`);
    return address;
  }
  if (given) throw new Refusal(`No Docker answers at ${address}, which DOCKER_HOST names.`);

  const missing = missingPackages(enginePackages);
  if (missing.length > 0) {
    await report.step('Install Docker', (tell) => installPackages(missing, tell));
  }
  await report.step('Docker', async (tell) => {
    tell(`${await startDocker(endpoint, logFile, tell)} started at ${address}`);
  });
  return address;
}
