import type { NameMatch } from '@ephemera/client';
import type { InstanceResource, NameResource } from '@ephemera/contract';
import { isName, parseDuration } from '@ephemera/domain';
import { buildCommand, buildRouteMap } from '@stricli/core';

import type { NameCondition } from '../admin-api.ts';
import { UsageError } from '../context.ts';
import type { CliContext } from '../context.ts';
import { alignColumns, createPrinter, outputAliases, outputFlags } from '../output.ts';
import type { OutputFlags } from '../output.ts';
import {
  imageFlag,
  pairFlag,
  parseSeconds,
  pathFlag,
  recordOf,
  templateParameter,
  timeoutFlag,
} from '../parameters.ts';
import type { Pair } from '../parameters.ts';
import { startAndPrint, waitFlag } from './run.ts';
import { left, portLines, showOne } from './show.ts';

/** A stable name. Shells complete it from the control API. */
const nameParameter = {
  brief: 'The name, such as pr-42: lowercase letters, digits and single hyphens',
  placeholder: 'name',
  parse: (text: string): string => {
    if (isName(text)) return text;
    throw new Error(
      `The name "${text}" is invalid: it has at most 40 lowercase letters, digits and single hyphens, begins with a letter, and does not end in an id.`,
    );
  },
  async proposeCompletions(this: CliContext, partial: string): Promise<string[]> {
    const names = await this.api().listNames();
    return names.map(({ name }) => name).filter((name) => name.startsWith(partial));
  },
};

const ifMatchFlag = {
  kind: 'parsed',
  parse: (text: string): NameMatch => {
    if (text === '*') return text;
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new Error(
      `--if-match is "${text}"; it must be a generation, as "ephemera name get" shows it, or *.`,
    );
  },
  brief: 'Only if the name has this generation; *: only if it exists',
  placeholder: 'generation',
  optional: true,
} as const;

const conditionOf = ({ ifMatch, ifNoneMatch }: PutFlags): NameCondition =>
  ifNoneMatch ? { ifNoneMatch: '*' } : { ...(ifMatch !== undefined && { ifMatch }) };

const positional = { kind: 'tuple', parameters: [nameParameter] } as const;

interface PutFlags extends OutputFlags {
  readonly image?: string;
  readonly timeout?: number;
  readonly path?: string;
  readonly env?: readonly Pair[];
  readonly metadata?: readonly Pair[];
  readonly drain?: number;
  readonly ttl?: number;
  readonly ifMatch?: NameMatch;
  readonly ifNoneMatch: boolean;
  readonly wait: boolean;
}

const put = buildCommand({
  async func(this: CliContext, flags: PutFlags, name: string, template?: string) {
    const print = createPrinter(this, flags);
    if (flags.ifNoneMatch && flags.ifMatch !== undefined) {
      throw new UsageError('Give either --if-match or --if-none-match.');
    }
    const request = {
      ...(template !== undefined && { template }),
      ...(flags.image !== undefined && { image: flags.image }),
      ...(flags.timeout !== undefined && { timeout: flags.timeout }),
      ...(flags.path !== undefined && { path: flags.path }),
      ...(flags.env && { env: recordOf('--env', flags.env) }),
      ...(flags.metadata && { metadata: recordOf('--metadata', flags.metadata) }),
      ...(flags.drain !== undefined && { drain: flags.drain }),
      ...(flags.ttl !== undefined && { ttl: flags.ttl }),
    };
    await startAndPrint(
      this,
      flags,
      (...wait) => this.api().putName(name, request, conditionOf(flags), ...wait),
      (instance) => {
        const { id, url, link = url } = instance;
        const text = [`${name}  ${id}  ${link}`, ...portLines(instance)].join('\n');
        print({ text, json: instance, quiet: link });
      },
    );
  },
  parameters: {
    flags: {
      image: imageFlag,
      timeout: { ...timeoutFlag, optional: true },
      path: pathFlag,
      env: pairFlag('--env', 'Environment variable that the template allows; may be repeated'),
      metadata: pairFlag('--metadata', 'Text that the API and events return; may be repeated'),
      drain: {
        kind: 'parsed',
        parse: (text: string): number =>
          parseDuration(text) === 0 ? 0 : parseSeconds('--drain')(text),
        brief: 'How long the instance before it still serves once this one is ready; default: 30s',
        placeholder: 'duration',
        optional: true,
      },
      ttl: {
        kind: 'parsed',
        parse: parseSeconds('--ttl'),
        brief: 'How long the name is remembered from now on; default: 30d',
        placeholder: 'duration',
        optional: true,
      },
      ifMatch: ifMatchFlag,
      ifNoneMatch: {
        kind: 'boolean',
        brief: 'Only if the name does not exist',
        default: false,
        withNegated: false,
      },
      wait: waitFlag,
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [nameParameter, templateParameter] },
  },
  docs: {
    brief: 'Start an instance under a stable name, or replace the one that has it',
    fullDescription: `Start an instance under a stable name, or replace the one that has it, and print its addresses. The
name leads to the new instance once that one is ready. If the start fails, the name stays where it is.`,
  },
});

const get = buildCommand({
  async func(this: CliContext, flags: OutputFlags, name: string) {
    const print = createPrinter(this, flags);
    const found = await this.api().getName(name);
    print({
      text: showName(found, this.now()),
      json: found,
      quiet: (found.instance ?? found.next)?.url ?? '',
    });
  },
  parameters: { flags: outputFlags, aliases: outputAliases, positional },
  docs: { brief: 'Show a stable name with its instance' },
});

const ls = buildCommand({
  async func(this: CliContext, flags: OutputFlags) {
    const print = createPrinter(this, flags);
    const names = await this.api().listNames();
    print({
      text: showNames(names, this.now()),
      json: names,
      quiet: names.map(({ name }) => name).join('\n'),
    });
  },
  parameters: { flags: outputFlags, aliases: outputAliases },
  docs: { brief: 'List the stable names, in alphabetical order' },
});

interface RemoveFlags extends OutputFlags {
  readonly ifMatch?: NameMatch;
}

const rm = buildCommand({
  async func(this: CliContext, flags: RemoveFlags, name: string) {
    const print = createPrinter(this, flags);
    await this.api().removeName(name, flags.ifMatch);
    print({
      text: `${name} is forgotten; its instances are ending`,
      json: { removed: name },
      quiet: '',
    });
  },
  parameters: {
    flags: { ifMatch: ifMatchFlag, ...outputFlags },
    aliases: outputAliases,
    positional,
  },
  docs: { brief: 'Forget a stable name and end its instances' },
});

export const name = buildRouteMap({
  routes: { put, get, ls, rm },
  docs: { brief: 'Start, replace, list and remove instances under stable names' },
});

/** @param now for the remaining time */
function showName(
  { name: text, generation, instance, next, expiresAt }: NameResource,
  now: number,
): string {
  const rows = [
    ['name:', text],
    ['generation:', String(generation)],
    ['remembered:', `until ${expiresAt}`],
    ...(next ? [['next:', `${next.id} ${stateOf(next)}`]] : []),
  ];
  const state = instance ? showOne(instance, now) : 'The record of its instance has expired.';
  return `${alignColumns(rows)}\n\n${state}`;
}

/** @param now for the remaining time */
function showNames(names: readonly NameResource[], now: number): string {
  const rows = names.map(({ name: text, instance, next }) => {
    const shown = instance ?? next;
    return [
      text,
      shown?.template ?? '-',
      shown?.status.state ?? '-',
      shown ? left(shown, now) : '-',
      instance?.id ?? '-',
      next?.id ?? '-',
      shown?.url ?? '-',
    ];
  });
  return alignColumns([['NAME', 'TEMPLATE', 'STATE', 'LEFT', 'ID', 'NEXT', 'URL'], ...rows]);
}

function stateOf({ status: { state, message } }: InstanceResource): string {
  return message === undefined ? state : `${state}: ${message}`;
}
