import { BootError } from '@ephemera/domain';

import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';

/** `logs ID [--follow] [--tail N] [--timestamps]`: what an instance writes, as it comes. */
export async function logs(api: AdminApi, args: string[]): Promise<string> {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: {
      follow: { type: 'boolean', short: 'f', default: false },
      tail: { type: 'string' },
      timestamps: { type: 'boolean', default: false },
    },
  });
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) throw new BootError('Say which instance: one id.');
  if (values.tail !== undefined && !/^\d{1,6}$/.test(values.tail)) {
    throw new BootError(`--tail is "${values.tail}"; it must be a number of lines.`);
  }
  const query = new URLSearchParams({
    follow: values.follow ? '1' : '0',
    timestamps: values.timestamps ? '1' : '0',
    ...(values.tail !== undefined && { tail: values.tail }),
  });
  await api.logs(id, query, (text) => process.stdout.write(text));
  return '';
}
