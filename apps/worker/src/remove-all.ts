/**
 * Takes everything of one deployment off a Docker daemon: containers, networks, firewall rules.
 * For the end of a trial on one machine, and for tests; a worker that runs keeps what it needs.
 * With `--keep-network` the first network stays, for whoever has made it; with `--spare id,id` so do these
 * instances, and what they need. With `--list` it only tells of what is there, a line for each: `network NAME`
 * for the first, `instance ID`.
 */
import { parseArgs } from 'node:util';
import { runMain } from '@ephemera/process';
import { readConfig } from './config.ts';
import { clearNetwork } from '@ephemera/worker';
import { connectDocker } from '@ephemera/worker';
import { disconnectInfrastructure } from '@ephemera/worker';
import { findNetworks, inspectNetwork } from '@ephemera/worker';
import { instanceIds, removeContainers } from '@ephemera/worker';
import { runInHostNetwork } from '@ephemera/worker';
import { runHere } from '@ephemera/worker';
import { firewallRemovalScript } from '@ephemera/worker';

const { values } = parseArgs({
  options: {
    'keep-network': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    spare: { type: 'string', default: '' },
  },
});

const STAYS = {
  held: (name: string) => `The network ${name} is still in use and stays.`,
  miscounted: (name: string) =>
    `The network ${name} stays until the Docker daemon is started again: nothing is on it, but the daemon counts places on it that it cannot name.`,
};

await runMain(async () => {
  const { dockerHost, namespace, firewall, firewallImage } = readConfig();
  const docker = connectDocker(dockerHost);
  if (values.list) {
    if (await inspectNetwork(docker, namespace)) process.stdout.write(`network ${namespace}\n`);
    const ids = await instanceIds(docker, namespace);
    process.stdout.write(ids.map((id) => `instance ${id}\n`).join(''));
    return;
  }
  // What is no instance counts as one with an empty id.
  const spare = new Set(values.spare.split(',').filter(Boolean));
  const spared = await removeContainers(docker, namespace, spare);
  if (spared > 0) return;
  const networks = await findNetworks(docker, namespace, true);
  if (networks.length === 0) return;
  const runOnHost =
    firewallImage === undefined ? runHere : runInHostNetwork(docker, namespace, firewallImage);
  if (firewall !== 'off') await runOnHost(networks.map(firewallRemovalScript).join('\n'));
  for (const { name } of networks) {
    // Only the first may have been made by somebody else.
    if (name === namespace && values['keep-network']) continue;
    if (name !== namespace) await disconnectInfrastructure(docker, name);
    const outcome = await clearNetwork(docker, namespace, name);
    if (outcome === 'removed') continue;
    if (outcome === 'held') process.exitCode = 1;
    process.stderr.write(`${STAYS[outcome](name)}\n`);
  }
});
