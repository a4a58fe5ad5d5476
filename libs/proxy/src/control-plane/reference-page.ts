import { createHash } from 'node:crypto';
import { adminRoutes } from '@ephemera/contract';
import { Html, html, route } from '@ephemera/http';
import type { BoundRoute, Fragment } from '@ephemera/http';

/** The parts of the OpenAPI document that the page shows. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly allOf?: readonly Schema[];
}
type Content = Readonly<Record<string, { readonly schema: Schema; readonly example?: unknown }>>;
interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly security: readonly unknown[];
  readonly servers?: readonly { readonly url: string }[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Content }>
  >;
}
type Methods = Readonly<Record<string, Operation>>;
interface Document {
  readonly info: { readonly version: string; readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Methods>>;
  readonly webhooks: Readonly<Record<string, Methods>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const STYLE = `:root{color-scheme:light dark;--line:light-dark(#c9ced6,#454b55);--soft:light-dark(#f3f4f6,#1d2026)}
body{font:16px/1.5 system-ui,sans-serif;max-width:68rem;margin:0 auto;padding:1rem}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
h3{margin-top:2rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.75rem;overflow-x:auto}
.table{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:start;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
nav ul{columns:20rem;padding-inline-start:1.2rem}`;

/** In one piece: white space within would change the hash. */
const STYLE_ELEMENT = new Html(`<style>${STYLE}</style>`);

/**
 * The page loads nothing and has no script: a page of this port that ran code of a third party could
 * use the token of an operator.
 */
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** `/docs`: the OpenAPI document as a page. */
export function referenceRoute(document: object): BoundRoute {
  const page = `<!doctype html>${renderReference(document as Document).markup}`;
  return route(adminRoutes.showReference, (ctx) => {
    ctx.set('content-security-policy', POLICY);
    ctx.type = 'text/html';
    ctx.body = page;
  });
}

function renderReference(document: Document): Html {
  const { info, tags, components } = document;
  const operations = [document.paths, document.webhooks].flatMap((paths) =>
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    ),
  );
  const sections = tags.map((tag) => ({
    ...tag,
    operations: operations.filter(({ operation }) => operation.tags.includes(tag.name)),
  }));
  return html`<html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>Ephemera API ${info.version}</title>
      ${STYLE_ELEMENT}
    </head>
    <body>
      <header>
        <h1>Ephemera API ${info.version}</h1>
        <p>${prose(info.description)}</p>
        <p>For programs: <a href="/openapi.json">openapi.json</a>.</p>
      </header>
      <nav aria-label="Operations">
        ${sections.map(
          ({ name, operations: listed }) =>
            html`<p><strong>${name}</strong></p>
              <ul>
                ${listed.map(
                  ({ operation: { operationId, summary } }) =>
                    html`<li><a href="#${operationId}">${summary}</a></li>`,
                )}
              </ul>`,
        )}
        <p><a href="#schemas">Schemas</a></p>
      </nav>
      <main>
        ${sections.map(
          ({ name, description, operations: listed }) =>
            html`<h2>${name}</h2>
              <p>${prose(description)}</p>
              ${listed.map(({ path, method, operation }) =>
                renderOperation(method.toUpperCase(), path, operation),
              )}`,
        )}
        <h2 id="schemas">Schemas</h2>
        ${Object.entries(components.schemas).map(([name, schema]) => renderSchema(name, schema))}
      </main>
    </body>
  </html>`;
}

function renderOperation(method: string, path: string, operation: Operation): Html {
  const { operationId, summary, description = '', security, servers, parameters } = operation;
  const bodies = Object.entries(operation.requestBody?.content ?? {});
  const server = servers?.[0]?.url;
  return html`<section>
    <h3 id="${operationId}">${summary}</h3>
    <p><code>${method} ${path}</code></p>
    ${description !== '' && html`<p>${prose(description)}</p>`}
    <p>
      ${server !== undefined && html`Server: <code>${server}</code>. `}${
        security.length > 0 ? 'Requires a bearer token.' : 'Requires no token.'
      }
    </p>
    ${
      parameters &&
      table(
        ['parameter', 'in', 'type', 'required', 'meaning'],
        parameters.map(({ name, in: place, required, description: meaning = '', schema }) => [
          html`<code>${name}</code>`,
          place,
          typeOf(schema),
          required === true && 'yes',
          prose(meaning),
        ]),
      )
    }
    ${bodies.map(
      ([type, { schema, example }]) =>
        html`<p>Body: ${typeOf(schema)}, <code>${type}</code></p>
          ${exampleOf(example)}`,
    )}
    ${table(
      ['status', 'meaning', 'body'],
      Object.entries(operation.responses).map(
        ([status, { description: meaning, content = {} }]) => [
          status,
          prose(meaning),
          Object.entries(content).map(([type, { schema }]) =>
            schema.$ref === undefined ? html`<code>${type}</code> ` : html`${typeOf(schema)} `,
          ),
        ],
      ),
    )}
    ${successExample(operation)}
  </section>`;
}

function successExample({ responses }: Operation): Fragment {
  const [, success] = Object.entries(responses).find(([status]) => status.startsWith('2')) ?? [];
  return exampleOf(Object.values(success?.content ?? {})[0]?.example);
}

function exampleOf(example: unknown): Fragment {
  if (example === undefined) return undefined;
  // Scrollable, so it must be reachable with the keyboard.
  return html`<pre tabindex="0"><code>${JSON.stringify(example, null, 2)}</code></pre>`;
}

function renderSchema(name: string, schema: Schema): Html {
  const parts = [schema, ...(schema.allOf ?? [])];
  const bases = parts.filter(({ $ref }) => $ref !== undefined);
  const rows = parts.flatMap((part) => fieldRows(part));
  return html`<h3 id="${name}">${name}</h3>
    ${bases.map((base) => html`<p>All fields of ${typeOf(base)}, and:</p>`)}
    ${rows.length > 0 && table(['field', 'type', 'required', 'meaning'], rows)}`;
}

/** Rows of the fields of an object, those of objects in it with a dotted path. */
function fieldRows(schema: Schema, above = ''): Fragment[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
    [
      html`<code>${above}${name}</code>`,
      typeOf(field),
      schema.required?.includes(name) === true && 'yes',
      prose(field.description ?? ''),
    ],
    ...fieldRows(field, `${above}${name}.`),
  ]);
}

function typeOf(schema: Schema): Fragment {
  const { $ref, type, format, items, additionalProperties } = schema;
  if ($ref !== undefined) {
    const name = $ref.split('/').at(-1) ?? '';
    return html`<a href="#${name}">${name}</a>`;
  }
  if (schema.enum) {
    return schema.enum.map((value, i) => html`${i > 0 && ', '}<code>${String(value)}</code>`);
  }
  if (items) return html`array of ${typeOf(items)}`;
  if (typeof additionalProperties === 'object') return html`map of ${typeOf(additionalProperties)}`;
  const base = [type ?? 'any'].flat().join(' or ');
  return format === undefined ? base : `${base} (${format})`;
}

function table(heads: readonly string[], rows: readonly (readonly Fragment[])[]): Html {
  return html`<div class="table" tabindex="0">
    <table>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (cells) =>
            html`<tr>
              ${cells.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Text in which backquotes mark code. */
function prose(text: string): Fragment {
  return text.split('`').map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part));
}
