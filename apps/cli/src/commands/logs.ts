import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { rawFlag } from '../output.ts';
import { fullId, idParameter, parseInteger } from '../parameters.ts';
import { createTextWriter } from '../terminal/visible.ts';

interface LogsFlags {
  readonly follow: boolean;
  readonly tail?: number;
  readonly timestamps: boolean;
  readonly raw: boolean;
}

export const logs = buildCommand({
  async func(this: CliContext, flags: LogsFlags, id: string) {
    const { follow, timestamps, tail } = flags;
    const options = { follow, timestamps, ...(tail !== undefined && { tail }) };
    const full = await fullId(this, id);
    const { write, end } = createTextWriter(this.process.stdout, flags.raw);
    await this.api().logs(full, options, write).finally(end);
  },
  parameters: {
    flags: {
      follow: {
        kind: 'boolean',
        brief: 'Continue until the instance ends',
        default: false,
        withNegated: false,
      },
      tail: {
        kind: 'parsed',
        parse: parseInteger('--tail', 0, 999_999),
        brief: 'Only the last lines',
        placeholder: 'lines',
        optional: true,
      },
      timestamps: {
        kind: 'boolean',
        brief: 'Begin each line with its time',
        default: false,
        withNegated: false,
      },
      raw: rawFlag,
    },
    aliases: { f: 'follow' },
    positional: { kind: 'tuple', parameters: [idParameter] },
  },
  docs: { brief: 'Print the output of an instance' },
});
