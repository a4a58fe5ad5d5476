import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BootError } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import pTimeout from 'p-timeout';
import type { GatewayNames } from './docker/gateway-names.ts';
import type { InstancesNetwork } from './docker/instances-network.ts';
import { firewallRemovalScript, firewallScript } from './firewall-rules.ts';
import type { EgressRules } from './firewall-rules.ts';
import { BRIDGE } from './host-reach.ts';
import type { HostReach } from './host-reach.ts';
import { checkReachScript } from './reach-rules.ts';
import type { StartCheck } from './start-checks.ts';

/** How long the rules wait for the responder to names. Without it, the next check adds its rules. */
const NAMES_WAIT_MS = 5_000;

/** Runs a shell script that may change the firewall of the Docker host. Returns its output. */
export type RunOnHost = (script: string) => Promise<string>;

export interface Firewall {
  /** Restores rules that are missing or that other rules precede. */
  assert(): Promise<void>;
  /**
   * Sets the rules of one more network.
   * @throws BootError if they cannot be set and are required, or were set before
   */
  secure(network: InstancesNetwork): Promise<void>;
  /** Forgets all other networks. A missing bridge would make the rules of all networks fail. */
  keep(networks: readonly InstancesNetwork[]): void;
  remove(): Promise<void>;
  /**
   * Without the rules, only templates with `trusted: true` may start; none where other machines reach
   * the instances.
   */
  readonly startCheck: StartCheck;
}

const run = promisify(execFile);

/** For a worker that runs as root on the Docker host. */
export const runHere: RunOnHost = async (script) => {
  try {
    return (await run('/bin/sh', ['-c', script], { timeout: 30_000 })).stdout;
  } catch (error) {
    // The message of the error contains the whole script.
    const { stderr = '' } = error as { stderr?: string };
    if (stderr.trim() === '') throw error;
    throw new Error(`the firewall script failed: ${stderr.trim()}`, { cause: error });
  }
};

/**
 * Sets the rules for the networks of the instances. If that fails, `required` refuses to start.
 * `auto` starts only trusted templates, and logs each new reason. `off` sets no rules: the operator
 * isolates instances by other means. Where other machines reach the instances, the rules are the
 * source filter, so any mode requires them.
 */
export async function createFirewall(options: {
  network: InstancesNetwork;
  mode: 'auto' | 'required' | 'off';
  egress: EgressRules;
  runOnHost: RunOnHost;
  /** Default: `bridge`. */
  reach?: HostReach;
  /** Without it, an instance without egress waits for each name until its resolver gives up. */
  names?: Pick<GatewayNames, 'ensure'>;
  logger: Logger;
}): Promise<Firewall> {
  const { egress, runOnHost, names: responders, reach = BRIDGE, logger } = options;
  const isReached = reach.kind !== 'bridge';
  const mode = isReached ? 'required' : options.mode;
  const networks = new Map<string, InstancesNetwork>();
  /** The last port of the responder of each network. */
  const namesPorts = new Map<string, number>();
  let lastFault: string | undefined;
  let lastNamesFault: string | undefined;

  /** The script of a network. Isolation does not depend on the responder. */
  const scriptOf = async (network: InstancesNetwork) => {
    const bridges = Array.from(networks.values(), ({ bridge }) => bridge);
    const rules = { reach, otherBridges: bridges.filter((other) => other !== network.bridge) };
    try {
      const port =
        responders && (await pTimeout(responders.ensure(network), { milliseconds: NAMES_WAIT_MS }));
      if (port !== undefined) namesPorts.set(network.name, port);
      return { script: firewallScript(network, egress, port, rules) };
    } catch (error) {
      // A daemon that is slow to answer does not stop a responder that runs.
      const port = namesPorts.get(network.name);
      return { script: firewallScript(network, egress, port, rules), error };
    }
  };

  const reportNames = (error: unknown): void => {
    const fault = error === undefined ? undefined : (error as Error).message;
    if (fault !== undefined && fault !== lastNamesFault) {
      logger.warn(
        { err: error },
        'names are not answered: in instances without egress, each lookup takes 10 to 20 s',
      );
    }
    lastNamesFault = fault;
  };

  /** Returns the chains in which the jump was not first. At the start, these are all chains. */
  const set = async (): Promise<string[]> => {
    // Without a network there is nothing to set, and `lastFault` stays as it is.
    if (mode === 'off' || networks.size === 0) return [];
    const chosen = [...networks.values()];
    try {
      const scripts = await Promise.all(chosen.map(scriptOf));
      // The check is last: an address that the machine has lost does not keep rules from being set.
      const all = [...scripts.map(({ script }) => script), checkReachScript(reach)];
      const output = await runOnHost(all.join('\n'));
      reportNames(scripts.find(({ error }) => error !== undefined)?.error);
      if (lastFault !== undefined) logger.info('firewall rules could be set again');
      lastFault = undefined;
      return [
        ...new Set(Array.from(output.matchAll(/put first: (\S+ \S+)/g), ([, at = '']) => at)),
      ];
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== lastFault) {
        logger.warn(
          { err: error, bridges: chosen.map(({ bridge }) => bridge) },
          `firewall rules could not be set: ${isReached ? 'no template can start' : 'only trusted templates can start'} on this host`,
        );
      }
      lastFault = fault;
      return [];
    }
  };

  const assert = async (): Promise<void> => {
    const wereSet = lastFault === undefined;
    const chains = await set();
    if (!wereSet || chains.length === 0) return;
    logger.warn({ chains }, 'firewall rules were missing or not first, and have been restored');
  };

  const secure = async (network: InstancesNetwork, isFirst = false): Promise<void> => {
    const wereSet = !isFirst && lastFault === undefined;
    networks.set(network.name, network);
    await set();
    // Once rules were set, no network is used without rules.
    if (lastFault === undefined || (mode !== 'required' && !wereSet)) return;
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
      if (mode === 'off' || (trusted && !isReached)) return [];
      // The last attempt may have failed only because iptables was locked for too long.
      if (lastFault !== undefined) await assert();
      if (lastFault === undefined) return [];
      return [
        isReached
          ? 'firewall rules cannot be set on this host, and without them other machines could connect to the instance'
          : `firewall rules cannot be set on this host, and the template "${name}" is not trusted`,
      ];
    },
  };
}
