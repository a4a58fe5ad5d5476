import { BootError } from '@ephemera/domain';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';
import { readSeconds } from './read-seconds.ts';

/** `link [TEMPLATE] [--timeout 30m] [--uses N] [--valid 24h]`: makes a signed link; its address. */
export async function link(api: AdminApi, args: string[]): Promise<string> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: {
      timeout: { type: 'string' },
      uses: { type: 'string', default: '1' },
      valid: { type: 'string', default: '24h' },
    },
  });
  const [template, ...more] = positionals;
  if (more.length > 0) throw new BootError(`One template at a time; what is "${more.join(' ')}"?`);
  if (!/^[1-9]\d{0,5}$/.test(values.uses)) {
    throw new BootError(`--uses is how many instances it starts; "${values.uses}" is no number.`);
  }
  const { url } = await api.link({
    ...(template !== undefined && { template }),
    ...(values.timeout !== undefined && { timeout: readSeconds(values.timeout) }),
    uses: Number(values.uses),
    validFor: readSeconds(values.valid, '--valid'),
  });
  return url;
}
