import { BootError } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import { templateParameter, timeoutFlag } from '../parameters.ts';

const WAIT_SECONDS = 60;

interface RunFlags extends OutputFlags {
  readonly timeout?: number;
  readonly wait: boolean;
}

export const run = buildCommand({
  async func(this: CliContext, flags: RunFlags, template?: string) {
    const print = createPrinter(this, flags);
    const instance = await this.api().create(
      {
        ...(template !== undefined && { template }),
        ...(flags.timeout !== undefined && { timeout: flags.timeout }),
      },
      flags.wait ? WAIT_SECONDS : 0,
    );
    const { id, status, url, link = url } = instance;
    if (flags.wait && status.state !== 'ready') {
      const reason = status.message === undefined ? '' : `: ${status.message}`;
      throw new BootError(
        `${id} is ${status.state}, not ready${reason}.\nWatch it with: ephemera get ${id}`,
      );
    }
    print({ text: `${id}  ${link}`, json: instance, quiet: id });
  },
  parameters: {
    flags: {
      timeout: { ...timeoutFlag, optional: true },
      wait: {
        kind: 'boolean',
        brief: `Wait up to ${WAIT_SECONDS} s until the instance is ready`,
        default: false,
        withNegated: false,
      },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [templateParameter] },
  },
  docs: { brief: 'Start an instance and print its id and address' },
});
