import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BootError } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { InstancesNetwork } from './docker/instances-network.ts';
import { firewallRemovalScript, firewallScript } from './firewall-rules.ts';
import type { EgressRules } from './firewall-rules.ts';
import type { StartCheck } from './start-checks.ts';

/** Runs a shell script with the right to change the firewall of the Docker host; gives what it printed. */
export type RunOnHost = (script: string) => Promise<string>;

export interface Firewall {
  /** Sets the rules again where they are gone, or where those of others have come before them. */
  assert(): Promise<void>;
  /** Sets the rules of one more network. @throws BootError where they are required and cannot be set */
  secure(network: InstancesNetwork): Promise<void>;
  /** Forgets all networks but these: one whose bridge is gone would fail the rules of the others. */
  keep(networks: readonly InstancesNetwork[]): void;
  remove(): Promise<void>;
  /** Without the rules, only templates that the operator trusts are started. */
  readonly startCheck: StartCheck;
}

const run = promisify(execFile);

/** For a worker that is root on the Docker host itself. */
export const runHere: RunOnHost = async (script) => {
  return (await run('/bin/sh', ['-c', script], { timeout: 30_000 })).stdout;
};

/**
 * Sets the rules for the instances' networks. Where that is not possible, `required` refuses to
 * start; `auto` goes on with templates that are trusted, and says so each time that the reason
 * changes. `off` is the operator's word that something else keeps instances in.
 */
export async function createFirewall(options: {
  network: InstancesNetwork;
  mode: 'auto' | 'required' | 'off';
  egress: EgressRules;
  runOnHost: RunOnHost;
  logger: Logger;
}): Promise<Firewall> {
  const { mode, egress, runOnHost, logger } = options;
  const networks = new Map<string, InstancesNetwork>();
  let lastFault: string | undefined;

  /** Gives the chains in which ours did not come first, as in all of them at the start. */
  const set = async (): Promise<string[]> => {
    // Without a network nothing is set, and nothing is learnt of whether it could be.
    if (mode === 'off' || networks.size === 0) return [];
    const chosen = [...networks.values()];
    try {
      const said = await runOnHost(
        chosen.map((instancesNetwork) => firewallScript(instancesNetwork, egress)).join('\n'),
      );
      if (lastFault !== undefined) logger.info('firewall rules are set again');
      lastFault = undefined;
      return [...new Set(Array.from(said.matchAll(/put first: (\S+ \S+)/g), ([, at = '']) => at))];
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== lastFault) {
        logger.warn(
          { err: error, bridges: chosen.map(({ bridge }) => bridge) },
          'firewall rules could not be set: only trusted templates are started here',
        );
      }
      lastFault = fault;
      return [];
    }
  };

  const assert = async (): Promise<void> => {
    const held = lastFault === undefined;
    const chains = await set();
    if (!held || chains.length === 0) return;
    logger.warn({ chains }, 'firewall rules were gone, or behind others: ours are first again');
  };

  const secure = async (network: InstancesNetwork, isFirst = false): Promise<void> => {
    const held = !isFirst && lastFault === undefined;
    networks.set(network.name, network);
    await set();
    // Where rules held so far, no other network is used without its own.
    if (lastFault === undefined || (mode !== 'required' && !held)) return;
    throw new BootError(`the firewall rules for ${network.bridge} could not be set: ${lastFault}`);
  };

  await secure(options.network, true);
  return {
    assert,
    secure: (network) => secure(network),
    keep(found) {
      const names = new Set(found.map(({ name }) => name));
      for (const name of networks.keys()) if (!names.has(name)) networks.delete(name);
    },
    async remove() {
      if (mode !== 'off')
        await runOnHost([...networks.values()].map(firewallRemovalScript).join('\n'));
    },
    async startCheck({ name, trusted = false }) {
      if (mode === 'off' || trusted) return [];
      // It may have been the lock of the tables that was held for too long.
      if (lastFault !== undefined) await assert();
      if (lastFault === undefined) return [];
      return [`no firewall rules could be set here, and the template "${name}" is not trusted`];
    },
  };
}
