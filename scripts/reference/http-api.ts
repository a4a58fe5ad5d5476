import { blocks, code, generatedFrom, sentence, table } from './markdown.ts';
import { describedApi } from './openapi.ts';

/** The parts of an OpenAPI 3.1 document that the page shows. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly const?: string | number | boolean;
  readonly default?: string | number | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly allOf?: readonly Schema[];
}

interface Operation {
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly security: readonly unknown[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: Schema }>> };
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content?: Record<string, { schema: Schema }> }
    >
  >;
}

type Route = readonly [method: string, path: string, operation: Operation];

interface Document {
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const refName = (ref: string): string => ref.split('/').at(-1) ?? '';

function typeText(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const name = refName(schema.$ref);
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  if (schema.const !== undefined) return code(String(schema.const));
  if (schema.type === 'array') return `array of ${typeText(schema.items ?? {})}`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return `map of ${typeText(schema.additionalProperties)}`;
  }
  if (schema.properties) {
    const fields = Object.entries(schema.properties);
    return `object: ${fields.map(([name, field]) => `${code(name)} (${typeText(field)})`).join(', ')}`;
  }
  const base = [schema.type ?? 'any'].flat().join(' or ');
  if (schema.format !== undefined) return `${base} (${schema.format})`;
  const { minimum, maximum } = schema;
  // zod bounds every integer by what a double holds.
  if (minimum === undefined || minimum === Number.MIN_SAFE_INTEGER) return base;
  return maximum === undefined || maximum === Number.MAX_SAFE_INTEGER
    ? `${base} from ${minimum}`
    : `${base}, ${minimum} to ${maximum}`;
}

/** Rows of the fields of an object, those of objects in it with a dotted path. */
function fieldRows(schema: Schema, above = ''): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = above === '' ? name : `${above}.${name}`;
    const isRequired = schema.required?.includes(name) ?? false;
    const row = [
      code(path),
      field.properties ? 'object' : typeText(field),
      isRequired ? 'yes' : '',
      meaningText(field.description, field),
    ];
    return [row, ...fieldRows(field, path)];
  });
}

function meaningText(description: string | undefined, schema: Schema): string {
  const fallback = schema.default === undefined ? '' : `Default: ${code(String(schema.default))}.`;
  return [sentence(description ?? ''), fallback].filter((text) => text !== '').join(' ');
}

function operationText([method, path, operation]: Route, hasTokens: boolean): string {
  const { summary, description, security, parameters = [], requestBody, responses } = operation;
  const bodies = Object.entries(requestBody?.content ?? {});
  return blocks(
    `#### ${code(`${method.toUpperCase()} ${path}`)}`,
    [summary, description ?? '']
      .filter((text) => text !== '')
      .map(sentence)
      .join(' '),
    security.length > 0 || !hasTokens ? '' : 'No token is required.',
    parameters.length === 0
      ? ''
      : table(
          ['parameter', 'in', 'type', 'required', 'meaning'],
          parameters.map(({ name, in: place, required, description: meaning, schema }) => [
            code(name),
            place,
            typeText(schema),
            required === true ? 'yes' : '',
            meaningText(meaning, schema),
          ]),
        ),
    ...bodies.map(([type, { schema }]) => `Body: ${typeText(schema)}, ${code(type)}.`),
    table(
      ['status', 'meaning', 'body'],
      Object.entries(responses).map(([status, { description: meaning, content }]) => [
        status,
        sentence(meaning),
        Object.entries(content ?? {})
          .map(([type, { schema }]) =>
            schema.$ref !== undefined || schema.properties ? typeText(schema) : code(type),
          )
          .join(', '),
      ]),
    ),
  );
}

function operationsOf(document: Document): Route[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Route => [method, path, operation]),
  );
}

export function httpApiPage(): string {
  const document = describedApi('{prefix}') as Document;
  const operations = operationsOf(document);
  const taggedWith = (tag: string) => operations.filter(([, , { tags }]) => tags.includes(tag));
  const adminTags = document.tags.filter(({ name }) => name !== 'Visitors' && name !== 'Webhooks');
  return blocks(
    '# HTTP API',
    generatedFrom('the route declarations in `libs/contract` and `libs/proxy`'),
    `The [guide](../guides/control-api.md) explains tokens, events, webhooks and logs. All errors are
listed in [errors.md](errors.md).`,

    '## Admin port',
    `\`EPHEMERA_ADMIN_PORT\` (8081). Send \`Authorization: Bearer TOKEN\`, except where a route says
otherwise. \`GET /openapi.json\` returns this description as OpenAPI 3.1, and
\`GET /docs\` shows it in a browser; [openapi.json](../openapi.json) is the same for the default ports. Unknown
parameters and fields are refused with 400.`,
    ...adminTags.map(({ name }) =>
      blocks(`### ${name}`, ...taggedWith(name).map((route) => operationText(route, true))),
    ),

    '## Public port',
    `\`EPHEMERA_PUBLIC_PORT\` (8080). \`{prefix}\` is \`EPHEMERA_PREFIX\` (\`demo\`). Every other path below
\`/{prefix}/{id}/\`, and with \`EPHEMERA_DOMAIN\` every path of \`{id}.DOMAIN\`, belongs to the instance.
Unknown query parameters are ignored.`,
    ...taggedWith('Visitors').map((route) => operationText(route, false)),

    '## Schemas',
    ...Object.entries(document.components.schemas).map(([name, schema]) => {
      // An extended schema is the base and an object with the further fields.
      const bases = schema.allOf?.filter(({ $ref }) => $ref !== undefined) ?? [];
      const own = [schema, ...(schema.allOf ?? [])].flatMap((part) => fieldRows(part));
      return blocks(
        `### ${name}`,
        ...bases.map((base) => `All fields of ${typeText(base)}, and:`),
        own.length === 0 ? '' : table(['field', 'type', 'required', 'meaning'], own),
      );
    }),
  );
}
