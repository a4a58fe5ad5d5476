import { buildCommand } from '@stricli/core';

import { requireCheckout } from '../config.ts';
import type { CliContext } from '../context.ts';
import { parseInteger } from '../parameters.ts';
import type { UpOptions } from '../up/up.ts';

const count = { kind: 'parsed', placeholder: 'n' } as const;

export const up = buildCommand({
  async func(this: CliContext, flags: UpOptions) {
    requireCheckout('up');
    const { up: start } = await import('../up/up.ts');
    this.exitCode = await start(this.config(), flags);
  },
  parameters: {
    flags: {
      keep: {
        kind: 'boolean',
        brief: 'Leave the instances when it stops; the next start ends them at their deadline',
        default: false,
        withNegated: false,
      },
      proxies: {
        ...count,
        parse: parseInteger('--proxies', 1, 99),
        brief: 'Number of proxies',
        default: '2',
      },
      workers: {
        ...count,
        parse: parseInteger('--workers', 1, 99),
        brief: 'Number of workers',
        default: '1',
      },
    },
  },
  docs: {
    brief: 'Start everything on this machine',
    fullDescription: `Start proxies, workers and the dashboard, and Docker and Redis where they do not run.
Ctrl-C stops them, and removes the instances, networks and firewall rules that did not exist before.`,
  },
});
