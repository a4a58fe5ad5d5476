import type { HostResource } from '@ephemera/contract';
import { formatDuration } from '@ephemera/domain';
import { buildCommand, buildRouteMap } from '@stricli/core';
import { ApiUnavailableError } from '../admin-api.ts';
import type { CliContext } from '../context.ts';
import { alignColumns, createPrinter, outputAliases, outputFlags } from '../output.ts';
import type { OutputFlags } from '../output.ts';
import { parseSeconds } from '../parameters.ts';

/** How often a drain reads the number of instances that are left, ms. */
const POLL_MS = 2_000;
/** How long a drain goes on waiting while no control API answers, ms. */
const MAX_SILENCE_MS = 60_000;

/** The name of a host. Shells complete it from the control API. */
const nameParameter = {
  brief: 'Name of the host, as "ephemera host ls" shows it',
  placeholder: 'host',
  parse: (text: string): string => text,
  async proposeCompletions(this: CliContext, partial: string): Promise<string[]> {
    const hosts = await this.api().hosts();
    return hosts.map(({ name }) => name).filter((name) => name.startsWith(partial));
  },
};

const shared = {
  aliases: outputAliases,
  positional: { kind: 'tuple', parameters: [nameParameter] },
} as const;

/** Formats hosts as a table. @param now for the remaining time of a drain */
function showHosts(hosts: readonly HostResource[], now: number): string {
  const rows = hosts.map(({ name, alive, instances, capacity, used, ...host }) => [
    name,
    alive ? 'alive' : 'unavailable',
    cordonText(host.cordon, now),
    `${instances}${capacity.instances === undefined ? '' : `/${capacity.instances}`}`,
    share(used.memory, capacity.memory, mebibytes),
    share(used.cpus, capacity.cpus, String),
    host.networks.join(',') || '-',
  ]);
  const head = ['HOST', 'STATE', 'CORDON', 'INSTANCES', 'MEMORY', 'CPUS', 'NETWORKS'];
  return alignColumns([head, ...rows]);
}

/** In the unit of `limits.memory`. */
function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)}m`;
}

function share(used = 0, max: number | undefined, format: (value: number) => string): string {
  return max === undefined ? format(used) : `${format(used)}/${format(max)}`;
}

function cordonText(cordon: HostResource['cordon'], now: number): string {
  if (!cordon) return '-';
  const { drain } = cordon;
  if (!drain) return 'cordoned';
  if (drain.done) return 'drained';
  if (drain.deadline === undefined) return 'draining';
  const left = Math.max(0, Date.parse(drain.deadline) - now);
  return `draining, ${formatDuration(Math.ceil(left / 1000) * 1000)} left`;
}

const ls = buildCommand({
  async func(this: CliContext, flags: OutputFlags) {
    const print = createPrinter(this, flags);
    const hosts = await this.api().hosts();
    print({
      text: showHosts(hosts, this.now()),
      json: hosts,
      quiet: hosts.map(({ name }) => name).join('\n'),
    });
  },
  parameters: { flags: outputFlags, aliases: outputAliases },
  docs: { brief: 'List the Docker hosts with their capacity' },
});

const cordon = buildCommand({
  async func(this: CliContext, flags: OutputFlags, name: string) {
    const print = createPrinter(this, flags);
    const host = await this.api().setCordon(name, 'cordon');
    print({
      text: `${name} starts no further instances. ${left(host)} To undo it: ephemera host uncordon ${name}`,
      json: host,
      quiet: name,
    });
  },
  parameters: { flags: outputFlags, ...shared },
  docs: {
    brief: 'Start no further instances on a host',
    fullDescription: `Start no further instances on a host. Its instances keep running, and warm ones can still be
claimed. A drain of the host is stopped.`,
  },
});

const uncordon = buildCommand({
  async func(this: CliContext, flags: OutputFlags, name: string) {
    const print = createPrinter(this, flags);
    const host = await this.api().setCordon(name, 'uncordon');
    print({ text: `${name} starts instances again.`, json: host, quiet: name });
  },
  parameters: { flags: outputFlags, ...shared },
  docs: { brief: 'Start instances on a host again; ends a drain' },
});

interface DrainFlags extends OutputFlags {
  readonly deadline?: number;
  readonly wait: boolean;
}

const drain = buildCommand({
  async func(this: CliContext, flags: DrainFlags, name: string) {
    const print = createPrinter(this, flags);
    const api = this.api();
    let host = await api.drainHost(name, flags.deadline);
    for (let shown = -1; flags.wait && host.cordon?.drain?.done === false;) {
      if (host.instances !== shown) this.process.stderr.write(`${name}: ${left(host)}\n`);
      shown = host.instances;
      host = await readLater(this, name);
    }
    print({ text: drainText(host), json: host, quiet: name });
    if (flags.wait && host.cordon?.drain?.done !== true) this.process.exitCode = 1;
  },
  parameters: {
    flags: {
      deadline: {
        kind: 'parsed',
        parse: parseSeconds('--deadline'),
        brief: 'End the instances that are left after this time, such as 30m; default: never',
        placeholder: 'duration',
        optional: true,
      },
      wait: { kind: 'boolean', brief: 'Wait until no instance is left', default: true },
      ...outputFlags,
    },
    ...shared,
  },
  docs: {
    brief: 'Empty a host, so that its machine may be switched off',
    fullDescription: `Empty a host, so that its machine may be switched off. The host starts no further instances, and
its warm instances end. All others end at their own deadlines, or after --deadline. The drain goes on when
the command is interrupted; "ephemera host uncordon" ends it.`,
  },
});

/**
 * Reads a host after a pause, and again while no control API answers: a proxy may restart.
 * @throws the last error, after a minute; at once if the control API refuses the request
 */
async function readLater(context: CliContext, name: string): Promise<HostResource> {
  const giveUpAt = context.now() + MAX_SILENCE_MS;
  for (let failures = 0; ; failures++) {
    await context.sleep(POLL_MS);
    try {
      return await context.api().host(name);
    } catch (error) {
      if (!(error instanceof ApiUnavailableError) || context.now() >= giveUpAt) throw error;
      if (failures === 0) context.process.stderr.write(`${error.message} Trying again.\n`);
    }
  }
}

function drainText(host: HostResource): string {
  const { name } = host;
  const { drain: state } = host.cordon ?? {};
  if (!state) {
    return `${name} is no longer being drained: another command ended the drain, or Redis has lost its data. Repeat the drain.`;
  }
  if (!state.done) return `${name} is being drained. ${left(host)}`;
  return `${name}: no instance is left. Its machine may be switched off. To use it again: ephemera host uncordon ${name}`;
}

function left({
  instances,
  alive,
  cordon: { drain: state } = { since: '' },
}: HostResource): string {
  const isUnknown = instances === 0 && state?.done === false;
  const count = isUnknown
    ? 'no instance is recorded; a worker of the host still has to find that no container is left'
    : `${instances} instance${instances === 1 ? '' : 's'} left`;
  const until = state?.deadline === undefined ? '' : `, ended at ${state.deadline} at the latest`;
  // Only a worker of the host can end its instances.
  return `${count}${until}.${alive ? '' : ' No worker of the host answers.'}`;
}

export const host = buildRouteMap({
  routes: { ls, cordon, uncordon, drain },
  docs: { brief: 'List Docker hosts, and take them out of service' },
});
