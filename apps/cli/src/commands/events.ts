import type { EventResource } from '@ephemera/contract';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { rawFlag } from '../output.ts';
import { createTextWriter } from '../terminal/visible.ts';

interface EventsFlags {
  readonly instance?: string;
  readonly template?: string;
  readonly type?: string;
  readonly json: boolean;
  readonly raw: boolean;
}

const filter = (brief: string, placeholder: string) =>
  ({ kind: 'parsed', parse: String, brief, placeholder, optional: true }) as const;

export const events = buildCommand({
  async func(this: CliContext, flags: EventsFlags) {
    const { instance, template, type } = flags;
    const filters = {
      ...(instance !== undefined && { instance: instance.split(',') }),
      ...(template !== undefined && { template: template.split(',') }),
      // The API refuses an unknown type and lists the known ones.
      ...(type !== undefined && { type: type.split(',') as EventResource['type'][] }),
    };
    const { write, end } = createTextWriter(this.process.stdout, flags.raw);
    const show = (event: EventResource) =>
      write(`${flags.json ? JSON.stringify(event) : lineOf(event)}\n`);
    const warn = () =>
      this.process.stderr.write(
        'Some events are no longer stored. "ephemera ls" shows the present state.\n',
      );
    await this.api().events(filters, show, warn).finally(end);
  },
  parameters: {
    flags: {
      instance: filter('Only these instances, by their complete ids', 'id,…'),
      template: filter('Only instances of these templates', 'name,…'),
      type: filter('Only these types, such as ready,gone', 'type,…'),
      json: {
        kind: 'boolean',
        brief: 'Print each event as a line of JSON',
        default: false,
        withNegated: false,
      },
      raw: rawFlag,
    },
  },
  docs: {
    brief: 'Print events as they happen',
    fullDescription: `Print events as they happen, until Ctrl-C. If the stream is cut, it continues after the last event.`,
  },
});

function lineOf({ time, type, id, template, reason, message }: EventResource): string {
  const end = [reason && `(${reason})`, message].filter(Boolean).join(' ');
  return [time, type.padEnd(8), id, template, end].filter((text) => text !== '').join('  ');
}
