/**
 * Writes docs/reference, docs/openapi.json, the boards for Grafana and the types of the client from
 * the declarations in the code. `--check` fails if a file is out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { boardFiles } from './reference/boards.ts';
import { configSchema } from './reference/config-schema.ts';
import { configurationPage } from './reference/configuration.ts';
import { errorsPage } from './reference/errors.ts';
import { httpApiPage } from './reference/http-api.ts';
import { metricsPage } from './reference/metrics.ts';
import { clientTypes, openApiPage } from './reference/openapi.ts';

const root = join(import.meta.dirname, '..');

const PAGES: readonly (readonly [file: string, page: () => string | Promise<string>])[] = [
  ...boardFiles,
  ['docs/openapi.json', openApiPage],
  ['docs/reference/configuration.md', configurationPage],
  ['docs/reference/ephemera.schema.json', configSchema],
  ['docs/reference/errors.md', errorsPage],
  ['docs/reference/http-api.md', httpApiPage],
  ['docs/reference/metrics.md', metricsPage],
  ['libs/client/src/api-types.ts', clientTypes],
];

const PARSERS = { '.json': 'json', '.md': 'markdown', '.ts': 'typescript' } as const;

const isCheck = process.argv.includes('--check');

for (const [file, page] of PAGES) {
  const path = join(root, file);
  const options = (await resolveConfig(path)) ?? {};
  const parser = PARSERS[extname(file) as keyof typeof PARSERS];
  const expected = await format(await page(), { ...options, parser });
  if (!isCheck) writeFileSync(path, expected);
  else if (contentOf(path) !== expected) {
    process.stderr.write(`${file} is out of date: run node scripts/reference.ts\n`);
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
