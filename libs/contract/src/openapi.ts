import { OpenAPIRegistry, OpenApiGeneratorV31 } from '@asteasolutions/zod-to-openapi';
import type { RouteConfig } from '@asteasolutions/zod-to-openapi';
import { eventSchema } from './event-resource.ts';
import { EXAMPLES } from './openapi-examples.ts';
import { z } from './openapi-zod.ts';
import { type ResponseDeclaration, type RouteDeclaration, responsesOf } from './route.ts';

/** A port, as the document describes it. */
export interface DescribedPort {
  /** Its base URL, or `/` for the address from which the document is read. */
  readonly url: string;
  /** Its routes by `operationId`. */
  readonly routes: Readonly<Record<string, RouteDeclaration>>;
}

/** The tags of the operations, by the beginning of the path. The first match wins. */
const ADMIN_TAGS: readonly Tag[] = [
  ['Instances', /^\/v1\/instances/, 'Start, read, renew, pause and end instances.'],
  ['Names', /^\/v1\/names/, 'Stable names, which lead to one instance after another.'],
  ['Events', /^\/v1\/events/, 'Changes of instances, as a stream.'],
  [
    'Templates and capacity',
    /^\/v1\/(?:templates|stats)/,
    'What can be started, and the free capacity.',
  ],
  ['Hosts', /^\/v1\/hosts/, 'Docker hosts, and taking one out of service.'],
  ['Links', /^\/v1\/links/, 'Signed links by which visitors start instances.'],
  ['Operations', /^\//, 'Health, metrics and the description of the API.'],
];
const VISITOR_TAG: Tag = [
  'Visitors',
  /^\//,
  'The routes of the public port. Every other path of that port belongs to an instance.',
];
const WEBHOOK_TAG: Tag = ['Webhooks', /^$/, 'Requests that the workers send to your endpoints.'];

type Tag = readonly [name: string, paths: RegExp, description: string];

/**
 * Builds the OpenAPI 3.1 document from the declarations that requests are checked against.
 * @param admin the admin port, which is the server of the document
 * @param visitors the public port, which is the server of its own operations
 */
export function openApiDocument({
  version,
  admin,
  visitors,
}: {
  readonly version: string;
  readonly admin: DescribedPort;
  readonly visitors: DescribedPort;
}): object {
  const registry = new OpenAPIRegistry();
  const bearer = registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'A token of the configuration file, or `EPHEMERA_ADMIN_TOKEN`.',
  });
  for (const [operationId, route] of Object.entries(admin.routes)) {
    registry.registerPath({
      ...operationOf(operationId, route),
      tags: [tagOf(route.path)],
      security: route.token === true ? [{ [bearer.name]: [] }] : [],
    });
  }
  const servers = [{ url: visitors.url, description: 'The public port' }];
  for (const [operationId, route] of Object.entries(visitors.routes)) {
    registry.registerPath({
      ...operationOf(operationId, route),
      tags: [VISITOR_TAG[0]],
      security: [],
      servers,
    });
  }
  registry.registerWebhook(eventWebhook);
  const document = new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: {
      title: 'Ephemera',
      version,
      license: { name: 'MIT', identifier: 'MIT' },
      description:
        'Starts ephemeral Docker containers and proxies traffic to them. Errors are problem documents (RFC 9457): compare `type`.',
    },
    servers: [{ url: admin.url, description: 'The admin port' }],
    tags: [...ADMIN_TAGS, VISITOR_TAG, WEBHOOK_TAG].map(([name, , description]) => ({
      name,
      description,
    })),
  });
  addExamples(document);
  return document;
}

function tagOf(path: string): string {
  const [name] = ADMIN_TAGS.find(([, paths]) => paths.test(path)) ?? VISITOR_TAG;
  return name;
}

const MEDIA = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  bytes: 'application/octet-stream',
} as const;

function operationOf(operationId: string, route: RouteDeclaration): RouteConfig {
  const { method, path, summary, description, params, query, headers, body } = route;
  const responses = Object.entries(responsesOf(route));
  return {
    method: method.toLowerCase() as Lowercase<typeof method>,
    path,
    operationId,
    summary,
    ...(description !== undefined && { description }),
    request: {
      ...(params && { params }),
      ...(query && { query }),
      ...(headers && { headers }),
      ...(body && {
        body: { required: true, content: { [MEDIA[body.type]]: { schema: body.schema } } },
      }),
    },
    responses: Object.fromEntries(
      responses.map(([status, response]) => [status, responseOf(response)]),
    ),
  };
}

function responseOf({
  description,
  content,
}: ResponseDeclaration): RouteConfig['responses'][string] {
  if (!content) return { description };
  const schemas = Object.entries(content).map(([type, schema]) => [type, { schema }]);
  return { description, content: Object.fromEntries(schemas) as Record<string, never> };
}

/** What a worker sends to the webhooks of the configuration file (Standard Webhooks). */
const eventWebhook: RouteConfig = {
  method: 'post',
  path: 'instanceEvent',
  operationId: 'receiveInstanceEvent',
  tags: [WEBHOOK_TAG[0]],
  summary: 'Receive one event of an instance',
  description:
    'Sent to each webhook that subscribes to the type of the event. Repeated with the same `webhook-id` until a response of 2xx, for about a day.',
  security: [],
  request: {
    headers: z.object({
      'webhook-id': z
        .string()
        .openapi({ description: '`seq` of the event; the same for every attempt.' }),
      'webhook-timestamp': z
        .string()
        .openapi({ description: 'Time of this attempt, Unix seconds.' }),
      'webhook-signature': z.string().openapi({
        description: '`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.',
      }),
    }),
    body: { required: true, content: { 'application/json': { schema: eventSchema } } },
  },
  responses: {
    '2XX': { description: 'The event was received' },
    '4XX': { description: 'The event was not received, and is sent again later' },
    '5XX': { description: 'The event was not received, and is sent again later' },
  },
};

/** The parts of a document that carry examples. */
type Content = Record<string, { schema?: unknown; example?: unknown }>;
interface DescribedOperation {
  readonly requestBody?: { readonly content?: Content };
  readonly responses?: Readonly<Record<string, { readonly content?: Content }>>;
}
interface Described {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>;
  readonly webhooks?: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>;
}

/** Adds to each JSON body the example of its schema. */
function addExamples(document: object): void {
  const { paths = {}, webhooks = {} } = document as Described;
  const operations = [...Object.values(paths), ...Object.values(webhooks)].flatMap((methods) =>
    Object.values(methods),
  );
  for (const { requestBody, responses = {} } of operations) {
    for (const content of [
      requestBody?.content,
      ...Object.values(responses).map((r) => r.content),
    ]) {
      for (const [type, media] of Object.entries(content ?? {})) {
        const { $ref } = (media.schema ?? {}) as { $ref?: string };
        const name = $ref?.split('/').at(-1) ?? '';
        if (type.endsWith('json') && Object.hasOwn(EXAMPLES, name)) media.example = EXAMPLES[name];
      }
    }
  }
}
