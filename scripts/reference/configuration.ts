import {
  allowSchema,
  imagesSchema,
  quotasSchema,
  registrySchema,
  templateSchema,
  tokenSchema,
  webhookSchema,
} from '@ephemera/config';
import { z } from 'zod';
import { schema as cli } from '../../apps/cli/src/config.ts';
import { schema as dashboard } from '../../apps/dashboard/src/config.ts';
import { schema as proxy } from '../../apps/proxy/src/config.ts';
import { schema as worker } from '../../apps/worker/src/config.ts';
import { blocks, code, generatedFrom, table } from './markdown.ts';

/** The parts of a JSON Schema that the page shows. */
interface Field {
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
}

interface Setting {
  readonly name: string;
  readonly readers: readonly { readonly app: string; readonly field: Field }[];
}

const CLI = 'npm start';
const APPS: readonly (readonly [app: string, schema: z.ZodType])[] = [
  ['proxy', proxy],
  ['worker', worker],
  ['dashboard', dashboard],
  [CLI, cli],
];

/** The heading of the settings that the same services read. */
function groupOf({ readers }: Setting): string {
  const services = readers.map(({ app }) => app).filter((app) => app !== CLI);
  if (services.length === APPS.length - 1) return 'All processes';
  if (services.length === 0) return 'Command line';
  const title = services.join(' and ');
  return title.charAt(0).toUpperCase() + title.slice(1);
}

function fieldsOf(schema: z.ZodType): [string, Field][] {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return Object.entries((json.properties ?? {}) as Record<string, Field>);
}

function allSettings(): Setting[] {
  const found = new Map<string, { app: string; field: Field }[]>();
  for (const [app, schema] of APPS) {
    for (const [name, field] of fieldsOf(schema)) {
      found.set(name, [...(found.get(name) ?? []), { app, field }]);
    }
  }
  return [...found].map(([name, readers]) => ({ name, readers }));
}

function defaultText(value: unknown): string {
  if (value === undefined) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text === '' || text === '{}' || text === '[]' ? '' : code(text);
}

/** The values that the schema admits; an empty string if it only bounds the form. */
function valuesText({ enum: values, minimum, maximum }: Field): string {
  if (values) return values.map((value) => code(String(value))).join(', ');
  if (minimum === undefined) return '';
  return maximum === undefined ? `from ${minimum}` : `${minimum} to ${maximum}`;
}

/** The description, or one for each app where they differ. */
function meaningOf({ readers }: Setting): string {
  const described = readers.filter(({ field }) => field.description !== undefined);
  const texts = [...new Set(described.map(({ field }) => field.description ?? ''))];
  if (texts.length < 2) return texts[0] ?? '';
  return described.map(({ app, field }) => `**${app}**: ${field.description ?? ''}`).join('\n\n');
}

function settingText(setting: Setting): string {
  const { name, readers } = setting;
  const [first] = readers;
  const facts = [
    ['Default', defaultText(first?.field.default)],
    ['Values', valuesText(first?.field ?? {})],
    ['Read by', readers.map(({ app }) => app).join(', ')],
  ].filter(([, text]) => text !== '');
  return blocks(
    `#### ${code(name)}`,
    meaningOf(setting),
    facts.map(([fact, text]) => `- ${fact ?? ''}: ${text ?? ''}`).join('\n'),
  );
}

function environmentText(): string {
  // In the order in which the apps declare the settings.
  const groups = Map.groupBy(allSettings(), groupOf);
  return blocks(
    ...[...groups].map(([title, settings]) =>
      blocks(`### ${title}`, ...settings.map((setting) => settingText(setting))),
    ),
  );
}

function fieldTable(schema: z.ZodType): string {
  const rows = fieldsOf(schema).map(([name, field]) => {
    const values = valuesText(field);
    const bounds = values !== '' && field.enum === undefined ? ` Range: ${values}.` : '';
    return [code(name), defaultText(field.default), `${field.description ?? ''}${bounds}`];
  });
  return table(['field', 'default', 'meaning'], rows);
}

const FILE_SCHEMAS: readonly z.ZodType[] = [
  templateSchema,
  quotasSchema,
  allowSchema,
  imagesSchema,
  tokenSchema,
  webhookSchema,
  registrySchema,
];

/** The settings and fields that have no description in their schema. */
export function undescribedFields(): string[] {
  const settings = allSettings().map((setting) => [setting.name, meaningOf(setting)] as const);
  const fields = FILE_SCHEMAS.flatMap((schema) =>
    fieldsOf(schema).map(([name, field]) => [name, field.description ?? ''] as const),
  );
  return [...settings, ...fields].filter(([, text]) => text === '').map(([name]) => name);
}

export function configurationPage(): string {
  return blocks(
    '# Configuration',
    generatedFrom('the schemas in `apps/*/src/config.ts` and `libs/config`'),
    `A process validates its whole configuration before it starts, and reports every error at once.
The [guides](../README.md#guides) show the settings in use.`,

    '## Environment variables',
    `An empty variable counts as unset. Durations are written as \`90s\`, \`30m\` or \`2h\`, sizes as
\`256m\` or \`1g\` (powers of 1024). \`npm start\` reads the variables of its own and passes the whole
environment on to the processes that it starts.`,
    environmentText(),

    '## The configuration file',
    `\`ephemera.yml\`, or the file that \`EPHEMERA_CONFIG\` names. \`default\` is the template that
\`/{prefix}/new\` starts, by default the first one. Unknown fields are refused. Keys of the top level that
begin with \`x-\` are ignored; with YAML anchors and merge keys (\`<<\`) they hold what templates share.

Every process reads the whole file again when it changes, without a restart: within about a second, or at
once after SIGHUP. Everything in the file takes effect. If any part is invalid, the process logs the errors
and keeps the whole previous version. See [a change that is refused](../guides/operating.md#a-change-that-is-refused).`,
    '### `templates`',
    'A map of templates by name.',
    fieldTable(templateSchema),
    '### `limits`',
    'Limits per client. A start beyond a limit gets 429.',
    fieldTable(quotasSchema),
    '### `allow`',
    `Options that weaken the host are refused unless \`allow\` lists them, for example
\`allow: {capabilities: [NET_BIND_SERVICE], runtimes: [runsc]}\`. Workers check again with their own copy
of the file before they create a container. A worker without the file allows none of these options, and
every image.`,
    fieldTable(allowSchema),
    '### `images`',
    'Restricts the images of templates. Proxies and workers check it, as with `allow`.',
    fieldTable(imagesSchema),
    '### `tokens`',
    `A map of tokens by name. The proxies and the dashboard use it.
\`ephemera token NAME --scope create\` creates one. See [access](../guides/access.md#tokens).`,
    fieldTable(tokenSchema),
    '### `webhooks`',
    'A list. Workers read it again when it changes. See [events and webhooks](../guides/control-api.md#webhooks).',
    fieldTable(webhookSchema),
    '### `registries`',
    `A map of logins by registry, such as \`ghcr.io\` or \`registry.example.com:5000\`; Docker Hub is
\`docker.io\`. Workers check it at start-up and read it again for each pull. See
[templates](../guides/templates.md#private-registries).`,
    fieldTable(registrySchema),

    '## Fixed properties of every container',
    `No field changes these: all capabilities are dropped (except those in \`capAdd\` and those of the profile),
\`no-new-privileges\`, memory without swap, a private IPC namespace, limits on log size and
file descriptors, no restart policy, no bind mounts, no devices, never privileged. If the root file system is
read-only, each empty volume that the image declares is a \`tmpfs\` of 64 MiB. A volume with files becomes an
anonymous volume, which is removed with the container.`,
  );
}
