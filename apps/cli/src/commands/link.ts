import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import {
  parseInteger,
  parseSeconds,
  pathFlag,
  templateParameter,
  timeoutFlag,
} from '../parameters.ts';

interface LinkFlags extends OutputFlags {
  readonly timeout?: number;
  readonly path?: string;
  readonly uses: number;
  readonly valid: number;
}

export const link = buildCommand({
  async func(this: CliContext, flags: LinkFlags, template?: string) {
    const print = createPrinter(this, flags);
    const created = await this.api().link({
      ...(template !== undefined && { template }),
      ...(flags.timeout !== undefined && { timeout: flags.timeout }),
      ...(flags.path !== undefined && { path: flags.path }),
      uses: flags.uses,
      validFor: flags.valid,
    });
    print({ text: created.url, json: created, quiet: created.url });
  },
  parameters: {
    flags: {
      timeout: { ...timeoutFlag, optional: true },
      path: pathFlag,
      uses: {
        kind: 'parsed',
        parse: parseInteger('--uses', 1, 999_999),
        brief: 'How many instances the link starts',
        placeholder: 'n',
        default: '1',
      },
      valid: {
        kind: 'parsed',
        parse: parseSeconds('--valid'),
        brief: 'How long the link is valid',
        placeholder: 'duration',
        default: '24h',
      },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [templateParameter] },
  },
  docs: { brief: 'Create a signed link by which visitors start instances' },
});
