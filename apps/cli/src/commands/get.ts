import { BootError } from '@ephemera/domain';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';
import { showOne } from './show.ts';

/** `get ID`: all about one instance. */
export async function get(api: AdminApi, args: string[]): Promise<string> {
  const { positionals } = readArguments({ args, allowPositionals: true });
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) throw new BootError('Say which instance: one id.');
  return showOne(await api.get(id), Date.now());
}
