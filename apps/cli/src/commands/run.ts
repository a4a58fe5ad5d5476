import type { CreateRequest } from '@ephemera/contract';
import { parseDuration } from '@ephemera/domain';
import { StartError } from '@ephemera/runtime';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';

const waitSeconds = 60;

/** `run [TEMPLATE] [--timeout 30m] [--wait]`: starts an instance; its id and where it is reached. */
export async function run(api: AdminApi, args: string[]): Promise<string> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: { timeout: { type: 'string' }, wait: { type: 'boolean', default: false } },
  });
  const request = readRequest(positionals[0], values.timeout);
  const { id, status, url } = await api.create(request, values.wait ? waitSeconds : 0);
  if (values.wait && status.state !== 'ready') {
    const why = status.message === undefined ? '' : `: ${status.message}`;
    throw new StartError(`${id} is not ready but ${status.state}${why}.`);
  }
  return `${id}  ${url}`;
}

/** @throws StartError where the timeout is no duration of whole seconds */
export function readRequest(template?: string, timeout?: string): CreateRequest {
  const request = template === undefined ? {} : { template };
  if (timeout === undefined) return request;
  const ms = parseDuration(timeout);
  if (ms === undefined || ms < 1000 || ms % 1000 !== 0) {
    throw new StartError(`--timeout is "${timeout}"; it must be a duration such as 90s, 30m, 2h.`);
  }
  return { ...request, timeout: ms / 1000 };
}
