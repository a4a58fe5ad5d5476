import { print, table } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { earlyResponses, isEarlyWell } from './early-responses.ts';

export async function runEarly(options: Options): Promise<boolean> {
  const results = await earlyResponses(options.count ?? 20, 'always');
  const rows = results.map(({ place, client, responder, tries, delivered }) => [
    ...[place, client, responder, String(tries)],
    ...[delivered.ephemera, delivered.nginx, delivered.haproxy].map(String),
  ]);
  const head = ['place', 'client', 'response of', 'uploads', 'Ephemera', 'nginx', 'haproxy'];
  print(table(head, rows));
  return results.every(isEarlyWell);
}
