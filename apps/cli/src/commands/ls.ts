import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import { showTable } from './show.ts';

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
