import type { Options } from '../options.ts';
import { print, table } from '@ephemera/test-support';
import { compare, isLaxer, type Verdict } from './compare.ts';

export async function runCompare(options: Options): Promise<boolean> {
  const results = await compare(options.count ?? 300, options.seed);
  const rows = results
    .filter((result) => !result.name.startsWith('mutation') || isLaxer(result))
    .map((result) => [
      result.name,
      describe(result.ephemera),
      describe(result.haproxy),
      describe(result.nginx),
      isLaxer(result) ? 'laxer' : '',
    ]);
  print(table(['sent', 'Ephemera', 'haproxy', 'nginx', ''], rows));
  const laxer = results.filter(isLaxer);
  print(`${results.length} compared, Ephemera laxer than both in ${laxer.length}`);
  return laxer.length === 0;
}

function describe({ statuses, forwarded }: Verdict): string {
  return `${statuses.join(' ') || 'closed'}, ${forwarded} forwarded`;
}
