import type { InstanceDetail, InstanceResource } from '@ephemera/contract';
import { formatDuration } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';
import { hintText } from '../admin-api.ts';
import { UsageError } from '../context.ts';
import type { CliContext } from '../context.ts';
import { alignColumns, outputAliases, outputFlags, createPrinter } from '../output.ts';
import type { OutputFlags } from '../output.ts';
import { fullId, fullIds, idParameter, timeoutFlag } from '../parameters.ts';

/** Formats instances as a table, the oldest first. @param now for the remaining time */
export function showTable(instances: readonly InstanceResource[], now: number): string {
  const rows = instances
    .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))
    .map((instance) => [
      instance.id,
      instance.template,
      instance.status.state,
      left(instance, now),
      instance.url,
    ]);
  return alignColumns([['ID', 'TEMPLATE', 'STATE', 'LEFT', 'URL'], ...rows]);
}

/** Formats an instance as lines of `name: value`, with its warnings. */
export function showOne(instance: InstanceDetail, now: number): string {
  const { state, reason, message } = instance.status;
  const lines = {
    id: instance.id,
    template: instance.template,
    state: [state, reason && `(${reason})`, message].filter(Boolean).join(' '),
    url: instance.url,
    ...(instance.url !== instance.baseUrl && { base: instance.baseUrl }),
    created: instance.createdAt,
    left: left(instance, now),
  };
  const warnings = (instance.warnings ?? []).map(
    ({ kind, detail, at }) => ['warning', `${kind} at ${at}: ${detail}`] as const,
  );
  const { hint } = instance.status;
  return [
    ...Object.entries(lines).map(lineOf),
    ...portLines(instance),
    ...warnings.map(lineOf),
    ...(hint ? [hintText(hint)] : []),
  ].join('\n');
}

/** The address of each port, if the instance has several. */
export function portLines({ ports }: InstanceResource): string[] {
  const entries = Object.entries(ports);
  if (entries.length < 2) return [];
  return entries.map(([name, { url }]) => lineOf(['port', `${name} ${url}`]));
}

function lineOf([name, value]: readonly [string, string | undefined]): string {
  return `${`${name}:`.padEnd(10)}${value}`;
}

/** Formats the remaining time; `-` unless the instance is ready. */
export function left({ status, expiresAt }: InstanceResource, now: number): string {
  if (status.state !== 'ready') return '-';
  return formatDuration(Math.max(0, Date.parse(expiresAt) - now));
}

export const ls = buildCommand({
  async func(this: CliContext, flags: OutputFlags) {
    const print = createPrinter(this, flags);
    const instances = await this.api().list();
    print({
      text: showTable(instances, this.now()),
      json: instances,
      quiet: instances.map(({ id }) => id).join('\n'),
    });
  },
  parameters: { flags: outputFlags, aliases: outputAliases },
  docs: { brief: 'List the instances, the oldest first' },
});

export const get = buildCommand({
  async func(this: CliContext, flags: OutputFlags, id: string) {
    const print = createPrinter(this, flags);
    const instance = await this.api().get(await fullId(this, id));
    print({ text: showOne(instance, this.now()), json: instance, quiet: instance.id });
  },
  parameters: {
    flags: outputFlags,
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [idParameter] },
  },
  docs: { brief: 'Show one instance' },
});

interface RenewFlags extends OutputFlags {
  readonly timeout: number;
  readonly shorten: boolean;
}

export const renew = buildCommand({
  async func(this: CliContext, flags: RenewFlags, id: string) {
    const print = createPrinter(this, flags);
    const instance = await this.api().renew(await fullId(this, id), flags.timeout, flags.shorten);
    const { expiresAt } = instance;
    const { outcome, previousExpiresAt, isAtMaximum } = instance.renewal;
    const limit = isAtMaximum ? ', the latest that maxTimeout allows' : '';
    const change =
      outcome === 'unchanged'
        ? `The deadline stays at ${expiresAt}${limit}.`
        : `The deadline moved from ${previousExpiresAt} to ${expiresAt}${limit}.`;
    const text = `${change}\n${showOne(instance, this.now())}`;
    print({ text, json: instance, quiet: instance.id });
  },
  parameters: {
    flags: {
      timeout: timeoutFlag,
      shorten: {
        kind: 'boolean',
        brief: 'Move the deadline also if the new one is earlier',
        default: false,
        withNegated: false,
      },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [idParameter] },
  },
  docs: {
    brief: 'Move the deadline of an instance',
    fullDescription: `Move the deadline of an instance to the given time from now. The maxTimeout of its
template is the limit. An earlier deadline needs --shorten; without it, nothing changes and the exit code is 1.`,
  },
});

interface KillFlags extends OutputFlags {
  readonly all: boolean;
}

export const kill = buildCommand({
  async func(this: CliContext, flags: KillFlags, ...ids: string[]) {
    const print = createPrinter(this, flags);
    if (flags.all === ids.length > 0) {
      throw new UsageError('Name the instances to kill by their ids, or use --all.');
    }
    if (flags.all) {
      const ended = await this.api().killAll();
      print({ text: `${ended} ending`, json: { ended }, quiet: '' });
      return;
    }
    // All are known before the first one ends.
    const full = await fullIds(this, ids);
    for (const id of full) await this.api().kill(id);
    print({
      text: full.map((id) => `${id} is ending`).join('\n'),
      json: { ended: ids.length },
      quiet: '',
    });
  },
  parameters: {
    flags: {
      all: { kind: 'boolean', brief: 'All instances', default: false, withNegated: false },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'array', parameter: idParameter },
  },
  docs: {
    brief: 'End instances',
    customUsage: ['<id>...', '--all'],
  },
});

const suspension = (action: 'pause' | 'resume', brief: string, fullDescription: string) =>
  buildCommand({
    async func(this: CliContext, flags: OutputFlags, id: string) {
      const print = createPrinter(this, flags);
      const instance = await this.api().suspend(await fullId(this, id), action);
      print({ text: showOne(instance, this.now()), json: instance, quiet: instance.id });
    },
    parameters: {
      flags: outputFlags,
      aliases: outputAliases,
      positional: { kind: 'tuple', parameters: [idParameter] },
    },
    docs: { brief, fullDescription },
  });

export const pause = suspension(
  'pause',
  'Pause an instance',
  `Pause a ready instance. Its processes stop and keep their memory. It ends at its maxTimeout, unless it is
resumed.`,
);

export const resume = suspension(
  'resume',
  'Resume a paused instance',
  'Resume a paused instance. It is ready again, with the deadline that the API reports.',
);
