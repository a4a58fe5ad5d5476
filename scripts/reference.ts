/**
 * Writes docs/reference from the declarations in the code. `--check` fails if a file is out of
 * date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { configSchema } from './reference/config-schema.ts';
import { configurationPage } from './reference/configuration.ts';
import { errorsPage } from './reference/errors.ts';
import { httpApiPage } from './reference/http-api.ts';
import { metricsPage } from './reference/metrics.ts';

const folder = join(import.meta.dirname, '../docs/reference');

const PAGES: readonly (readonly [file: string, page: () => string])[] = [
  ['configuration.md', configurationPage],
  ['ephemera.schema.json', configSchema],
  ['errors.md', errorsPage],
  ['http-api.md', httpApiPage],
  ['metrics.md', metricsPage],
];

const isCheck = process.argv.includes('--check');

for (const [file, page] of PAGES) {
  const path = join(folder, file);
  const options = (await resolveConfig(path)) ?? {};
  const expected = await format(page(), {
    ...options,
    parser: file.endsWith('.json') ? 'json' : 'markdown',
  });
  if (!isCheck) writeFileSync(path, expected);
  else if (contentOf(path) !== expected) {
    process.stderr.write(`docs/reference/${file} is out of date: run node scripts/reference.ts\n`);
    process.exitCode = 1;
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // A new page that is not written yet.
  }
}
