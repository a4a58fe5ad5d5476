import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import { idParameter, timeoutFlag } from '../parameters.ts';
import { showOne } from './show.ts';

interface RenewFlags extends OutputFlags {
  readonly timeout: number;
}

export const renew = buildCommand({
  async func(this: CliContext, flags: RenewFlags, id: string) {
    const print = createPrinter(this, flags);
    const instance = await this.api().renew(id, flags.timeout);
    print({ text: showOne(instance, this.now()), json: instance, quiet: instance.id });
  },
  parameters: {
    flags: { timeout: timeoutFlag, ...outputFlags },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [idParameter] },
  },
  docs: {
    brief: 'Move the deadline of an instance',
    fullDescription: `Move the deadline of an instance to the given time from now. The maxTimeout of its
template is the limit.`,
  },
});
