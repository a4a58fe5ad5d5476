import { BootError } from '@ephemera/domain';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';
import { readSeconds } from './read-seconds.ts';
import { showOne } from './show.ts';

/** `renew ID --timeout 30m`: moves an instance's deadline to that long from now. */
export async function renew(api: AdminApi, args: string[]): Promise<string> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: { timeout: { type: 'string' } },
  });
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0 || values.timeout === undefined) {
    throw new BootError('Say which instance, and for how long from now: renew ID --timeout 30m');
  }
  return showOne(await api.renew(id, readSeconds(values.timeout)), Date.now());
}
