import type { Options } from '../options.ts';
import { print, table } from '@ephemera/test-support';
import { compare, isLaxer, type Verdict } from './compare.ts';

export async function runCompare(options: Options): Promise<boolean> {
  const results = await compare(options.count ?? 300, options.seed);
  const rows = results
    .filter((one) => !one.name.startsWith('mutation') || isLaxer(one))
    .map((one) => [
      one.name,
      say(one.ephemera),
      say(one.haproxy),
      say(one.nginx),
      isLaxer(one) ? 'laxer' : '',
    ]);
  print(table(['sent', 'Ephemera', 'haproxy', 'nginx', ''], rows));
  const laxer = results.filter(isLaxer);
  print(`${results.length} compared, Ephemera laxer than both in ${laxer.length}`);
  return laxer.length === 0;
}

function say({ statuses, forwarded }: Verdict): string {
  return `${statuses.join(' ') || 'closed'}, ${forwarded} sent on`;
}
