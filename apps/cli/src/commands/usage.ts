import type { TemplateResource, UsageResource } from '@ephemera/contract';
import { formatDuration } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { alignColumns, createPrinter, outputAliases, outputFlags } from '../output.ts';
import type { OutputFlags } from '../output.ts';
import { fullId, idParameter } from '../parameters.ts';

/** Formats templates as a table. */
function showTemplates(list: readonly TemplateResource[]): string {
  const rows = list.map((template) => [
    template.name + (template.isDefault ? ' (default)' : ''),
    formatDuration(template.timeout * 1000),
    `${template.instances}${template.maxInstances === undefined ? '' : `/${template.maxInstances}`}`,
    String(template.queued),
    `${template.pool.warm}/${template.pool.size}`,
    template.isFull ? 'full' : 'free',
    template.title ?? '',
  ]);
  const head = ['TEMPLATE', 'TIMEOUT', 'INSTANCES', 'QUEUED', 'WARM', 'CAPACITY', 'TITLE'];
  return alignColumns([head, ...rows]);
}

export const templates = buildCommand({
  async func(this: CliContext, flags: OutputFlags) {
    const print = createPrinter(this, flags);
    const list = await this.api().templates();
    print({
      text: showTemplates(list),
      json: list,
      quiet: list.map(({ name }) => name).join('\n'),
    });
  },
  parameters: { flags: outputFlags, aliases: outputAliases },
  docs: { brief: 'List the templates with their instances and capacity' },
});

/** Formats bytes in binary units, with one digit after the point. */
function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  while (value >= 1024 && units.length > 1) {
    value /= 1024;
    units.shift();
  }
  return units[0] === 'B' ? `${value} B` : `${value.toFixed(1)} ${units[0]}`;
}

function showUsage({ cpuSeconds, memory, pids, network }: UsageResource): string {
  return alignColumns([
    ['cpu:', `${cpuSeconds.toFixed(1)} s`],
    ['memory:', `${bytes(memory.used)} of ${bytes(memory.limit)}`],
    ['processes:', String(pids)],
    ['received:', bytes(network.received)],
    ['sent:', bytes(network.sent)],
  ]);
}

export const stats = buildCommand({
  async func(this: CliContext, flags: OutputFlags, id?: string) {
    const print = createPrinter(this, flags);
    if (id !== undefined) {
      const usage = await this.api().usage(await fullId(this, id));
      print({ text: showUsage(usage), json: usage, quiet: '' });
      return;
    }
    const all = await this.api().stats();
    const { instances, available, capacity } = all;
    const text = alignColumns([
      ['instances:', String(instances)],
      ['capacity:', String(capacity ?? 'unlimited')],
      ['available:', String(available ?? 'unlimited')],
    ]);
    print({ text, json: all, quiet: '' });
  },
  parameters: {
    flags: outputFlags,
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [{ ...idParameter, optional: true }] },
  },
  docs: {
    brief: 'Show the resource usage of an instance, or the capacity of all hosts',
  },
});
