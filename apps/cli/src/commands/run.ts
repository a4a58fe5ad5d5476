import { BootError } from '@ephemera/domain';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';
import { readSeconds } from './read-seconds.ts';

const waitSeconds = 60;

/** `run [TEMPLATE] [--timeout 30m] [--wait]`: starts an instance; its id and where it is reached. */
export async function run(api: AdminApi, args: string[]): Promise<string> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: { timeout: { type: 'string' }, wait: { type: 'boolean', default: false } },
  });
  const [template, ...more] = positionals;
  if (more.length > 0) throw new BootError(`One template at a time; what is "${more.join(' ')}"?`);
  const request = {
    ...(template !== undefined && { template }),
    ...(values.timeout !== undefined && { timeout: readSeconds(values.timeout) }),
  };
  const { id, status, url, link = url } = await api.create(request, values.wait ? waitSeconds : 0);
  if (values.wait && status.state !== 'ready') {
    const reason = status.message === undefined ? '' : `: ${status.message}`;
    throw new BootError(`${id} is not ready but ${status.state}${reason}.`);
  }
  return `${id}  ${link}`;
}
