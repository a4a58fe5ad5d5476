import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StartError } from '@ephemera/domain';
import type { Logger } from '@ephemera/runtime';
import type { InstancesNetwork } from './docker/instances-network.ts';
import { firewallRemovalScript, firewallScript } from './firewall-rules.ts';

/** Runs a shell script with the right to change the firewall of the Docker host. */
export type RunOnHost = (script: string) => Promise<void>;

export interface Firewall {
  /** Sets the rules again where they are gone, as after a restart of the daemon. */
  assert(): Promise<void>;
  /** Sets the rules of one more network. @throws StartError where they are required and cannot be set */
  secure(network: InstancesNetwork): Promise<void>;
  remove(): Promise<void>;
}

const run = promisify(execFile);

/** For a worker that is root on the Docker host itself. */
export const runHere: RunOnHost = async (script) => {
  await run('/bin/sh', ['-c', script], { timeout: 30_000 });
};

/**
 * Sets the rules for the instances' networks. Where that is not possible, `required` refuses to
 * start; `auto` goes on, and says so each time that the reason changes.
 */
export async function createFirewall(options: {
  network: InstancesNetwork;
  mode: 'auto' | 'required' | 'off';
  runOnHost: RunOnHost;
  logger: Logger;
}): Promise<Firewall> {
  const { mode, runOnHost, logger } = options;
  const networks = new Map<string, InstancesNetwork>();
  let lastFault: string | undefined;

  const set = async (chosen: readonly InstancesNetwork[]): Promise<void> => {
    if (mode === 'off') return;
    try {
      await runOnHost(chosen.map(firewallScript).join('\n'));
      if (lastFault !== undefined) logger.info('firewall rules are set again');
      lastFault = undefined;
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== lastFault) {
        logger.warn(
          { err: error, bridges: chosen.map(({ bridge }) => bridge) },
          'firewall rules could not be set: instances may reach this host and the network',
        );
      }
      lastFault = fault;
    }
  };

  const secure = async (network: InstancesNetwork): Promise<void> => {
    networks.set(network.name, network);
    await set([network]);
    if (mode !== 'required' || lastFault === undefined) return;
    throw new StartError(`the firewall rules for ${network.bridge} could not be set: ${lastFault}`);
  };

  await secure(options.network);
  return {
    assert: () => set([...networks.values()]),
    secure,
    async remove() {
      if (mode !== 'off')
        await runOnHost([...networks.values()].map(firewallRemovalScript).join('\n'));
    },
  };
}
