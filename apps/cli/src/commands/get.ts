import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import { idParameter } from '../parameters.ts';
import { showOne } from './show.ts';

export const get = buildCommand({
  async func(this: CliContext, flags: OutputFlags, id: string) {
    const print = createPrinter(this, flags);
    const instance = await this.api().get(id);
    print({ text: showOne(instance, this.now()), json: instance, quiet: instance.id });
  },
  parameters: {
    flags: outputFlags,
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [idParameter] },
  },
  docs: { brief: 'Show one instance' },
});
