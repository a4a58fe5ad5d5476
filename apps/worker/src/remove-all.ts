/**
 * Takes everything of one deployment off a Docker daemon: containers, network, firewall rules.
 * For the end of a trial on one machine, and for tests; a worker that runs keeps what it needs.
 * With `--keep-network` the network stays, for whoever has made it.
 */
import { runApp } from '@ephemera/runtime';
import { readConfig } from './config.ts';
import { connectDocker } from './docker/connect-docker.ts';
import { findNetwork, removeNetwork } from './docker/instances-network.ts';
import { removeContainers } from './docker/remove-containers.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import { runHere } from './firewall.ts';
import { firewallRemovalScript } from './firewall-rules.ts';

await runApp(async () => {
  const { dockerHost, namespace, firewall, firewallImage } = readConfig();
  const docker = connectDocker(dockerHost);
  await removeContainers(docker, namespace);
  const network = await findNetwork(docker, namespace);
  if (!network) return;
  const runOnHost =
    firewallImage === undefined ? runHere : runInHostNetwork(docker, namespace, firewallImage);
  if (firewall !== 'off') await runOnHost(firewallRemovalScript(network));
  if (process.argv.includes('--keep-network')) return;
  if (!(await removeNetwork(docker, namespace))) {
    process.stderr.write(`The network ${namespace} is still in use and stays.\n`);
    process.exitCode = 1;
  }
});
