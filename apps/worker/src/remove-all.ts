/**
 * Takes everything of one deployment off a Docker daemon: containers, network, firewall rules.
 * For the end of a trial on one machine, and for tests; a worker that runs keeps what it needs.
 * With `--keep-network` the network stays, for whoever has made it; with `--spare id,id` so do these
 * instances, and what they need.
 */
import { parseArgs } from 'node:util';
import { runApp } from '@ephemera/runtime';
import { readConfig } from './config.ts';
import { connectDocker } from './docker/connect-docker.ts';
import { findNetwork, removeNetwork } from './docker/instances-network.ts';
import { removeContainers } from './docker/remove-containers.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import { runHere } from './firewall.ts';
import { firewallRemovalScript } from './firewall-rules.ts';

const { values } = parseArgs({
  options: {
    'keep-network': { type: 'boolean', default: false },
    spare: { type: 'string', default: '' },
  },
});

await runApp(async () => {
  const { dockerHost, namespace, firewall, firewallImage } = readConfig();
  const docker = connectDocker(dockerHost);
  const spared = await removeContainers(docker, namespace, new Set(values.spare.split(',')));
  if (spared > 0) return;
  const network = await findNetwork(docker, namespace);
  if (!network) return;
  const runOnHost =
    firewallImage === undefined ? runHere : runInHostNetwork(docker, namespace, firewallImage);
  if (firewall !== 'off') await runOnHost(firewallRemovalScript(network));
  if (values['keep-network']) return;
  if (!(await removeNetwork(docker, namespace))) {
    process.stderr.write(`The network ${namespace} is still in use and stays.\n`);
    process.exitCode = 1;
  }
});
