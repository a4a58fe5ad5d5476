/**
 * Writes docs/CONFIGURATION.md from the schemas that the apps read their settings with; with
 * `--check` it only says whether the file is up to date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  allowSchema,
  imagesSchema,
  quotasSchema,
  templateSchema,
  tokenSchema,
  webhookSchema,
} from '@ephemera/config';
import { format, resolveConfig } from 'prettier';
import { z } from 'zod';
import { schema as cli } from '../apps/cli/src/config.ts';
import { schema as dashboard } from '../apps/dashboard/src/config.ts';
import { schema as proxy } from '../apps/proxy/src/config.ts';
import { schema as worker } from '../apps/worker/src/config.ts';

interface Field {
  readonly description?: string;
  readonly default?: unknown;
}

const path = join(import.meta.dirname, '../docs/CONFIGURATION.md');
const apps: readonly (readonly [string, z.ZodType])[] = [
  ['proxy', proxy],
  ['worker', worker],
  ['dashboard', dashboard],
  ['npm start', cli],
];

function fieldsOf(schema: z.ZodType): [string, Field][] {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return Object.entries((json.properties ?? {}) as Record<string, Field>);
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function shown(defaultValue: unknown): string {
  if (defaultValue === undefined) return '';
  const text = typeof defaultValue === 'string' ? defaultValue : JSON.stringify(defaultValue);
  return text === '' || text === '{}' || text === '[]' ? '' : `\`${text}\``;
}

/** Settings by name, each once, with the apps that read it. */
function environmentTable(): string {
  const settings = new Map<string, { field: Field; readers: string[] }>();
  for (const [app, schema] of apps) {
    for (const [name, field] of fieldsOf(schema)) {
      const known = settings.get(name) ?? { field, readers: [] };
      known.readers.push(app);
      settings.set(name, known);
    }
  }
  const rows = [...settings].map(([name, { field, readers }]) =>
    row([`\`${name}\``, shown(field.default), field.description ?? '', readers.join(', ')]),
  );
  return [row(['variable', 'default', 'meaning', 'read by']), '|---|---|---|---|', ...rows].join(
    '\n',
  );
}

function fieldTable(schema: z.ZodType): string {
  const rows = fieldsOf(schema).map(([name, field]) =>
    row([`\`${name}\``, shown(field.default), field.description ?? '']),
  );
  return [row(['field', 'default', 'meaning']), '|---|---|---|', ...rows].join('\n');
}

const text = `# Configuration

This page is made from the schemas that the apps check their settings with
(\`node scripts/reference.ts\`). Everything that is wrong is reported at once, before anything
starts.

## Environment

An empty variable counts as unset. Durations are written as \`90s\`, \`30m\`, \`2h\`.

${environmentTable()}

## Templates

\`ephemera.yml\`, or what \`EPHEMERA_CONFIG\` names: \`default\`, the template that
\`/{prefix}/new\` starts, and \`templates\`, each by its name. Sizes are written as \`256m\`, \`1g\`
(powers of 1024). Unknown fields are refused.

${fieldTable(templateSchema)}

Beside the templates, \`limits\` says how much one client may have at once; more is refused with 429:

${fieldTable(quotasSchema)}

## What templates may ask for

What weakens the host is refused unless \`allow\` names it, as in
\`allow: {capabilities: [NET_BIND_SERVICE], runtimes: [runsc]}\`. Workers look at it again before
they create a container, in their own copy of the file; one without a file allows none of it, and any image.

${fieldTable(allowSchema)}

\`images\` bounds which images there may be:

${fieldTable(imagesSchema)}

## Tokens

The map \`tokens\` in the same file, by name, which the dashboard reads too. It is read again when it
changes: a token is let in, replaced or shut out without a restart. \`ephemera token NAME --scope create\`
makes one.

${fieldTable(tokenSchema)}

## Webhooks

The list \`webhooks\` in the same file, which the workers read too; [API.md](API.md) tells what is
sent.

${fieldTable(webhookSchema)}

## Every container

Every container also gets, whatever its template says: all capabilities dropped,
\`no-new-privileges\`, memory without swap, a private IPC namespace, an init process, bounded logs
and descriptors, no restarts, no binds, no devices, never privileged. With a read-only root file
system, a \`tmpfs\` of 64m stands in the place of each volume that its image declares.
`;

const options = (await resolveConfig(path)) ?? {};
const wanted = await format(text, { ...options, parser: 'markdown' });
if (process.argv.includes('--check')) {
  let found = '';
  try {
    found = readFileSync(path, 'utf8');
  } catch {
    // Not there yet: out of date.
  }
  if (found !== wanted) {
    process.stderr.write('docs/CONFIGURATION.md is out of date: run node scripts/reference.ts\n');
    process.exit(1);
  }
} else {
  writeFileSync(path, wanted);
}
