import { buildCommand } from '@stricli/core';

import { UsageError, type CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import { idParameter } from '../parameters.ts';

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
    for (const id of ids) await this.api().kill(id);
    print({
      text: ids.map((id) => `${id} is ending`).join('\n'),
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
