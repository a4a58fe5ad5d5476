import { BootError } from '@ephemera/domain';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';

/** `kill ID... | --all`: begins to end instances. */
export async function kill(api: AdminApi, args: string[]): Promise<string> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: { all: { type: 'boolean', default: false } },
  });
  if (values.all === positionals.length > 0) {
    throw new BootError('Say which instances to kill, or --all.');
  }
  if (values.all) {
    return `${await api.killAll()} ending`;
  }
  for (const id of positionals) await api.kill(id);
  return positionals.map((id) => `${id} is ending`).join('\n');
}
