import { OpenAPIRegistry, OpenApiGeneratorV31 } from '@asteasolutions/zod-to-openapi';
import { createRequestSchema } from './create-request.ts';
import { createdSchema, instancePageSchema, instanceSchema } from './instance-resource.ts';
import { linkRequestSchema, linkSchema } from './link-request.ts';
import { listQuerySchema } from './list-query.ts';
import { describeInstanceOperations } from './openapi-instance-operations.ts';
import { z } from './openapi-zod.ts';
import { problemSchema } from './problem.ts';
import { renewRequestSchema } from './renew-request.ts';
import { statsSchema, templateListSchema } from './template-resource.ts';

/** The description of the control API, OpenAPI 3.1, made from the schemas that it checks with. */
export function openApiDocument(version: string): object {
  const registry = new OpenAPIRegistry();
  const bearer = registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
  });
  const security = [{ [bearer.name]: [] }];
  const json = (schema: z.ZodType, description: string) => ({
    description,
    content: { 'application/json': { schema } },
  });
  const problem = (description: string) => ({
    description,
    content: { 'application/problem+json': { schema: problemSchema } },
  });
  const refused = {
    401: problem('No valid token'),
    403: problem('A token of too little scope'),
    503: problem('Redis is away'),
  };
  const item = { params: z.object({ id: z.string() }) };

  registry.registerPath({
    method: 'post',
    path: '/v1/instances',
    summary: 'Start an instance',
    security,
    request: {
      headers: z.object({
        prefer: z.string().optional().openapi({ description: '`wait=N`: up to N s until ready' }),
        'idempotency-key': z.string().optional().openapi({
          description: 'Kept for 24 hours: the same key and body give the same instance.',
        }),
      }),
      body: { content: { 'application/json': { schema: createRequestSchema } } },
    },
    responses: {
      201: json(createdSchema, 'It is ready: a warm one, or asked for with Prefer'),
      202: json(createdSchema, 'It is starting, or queued; Location tells where to look'),
      400: problem('Unknown template, invalid timeout, unknown field, broken JSON'),
      422: problem('The Idempotency-Key came with another body before'),
      429: problem('Full (`limit` says what is), or asked too often; Retry-After tells when again'),
      502: problem('It could not be started (asked for with Prefer)'),
      ...refused,
    },
  });
  registry.registerPath({
    method: 'get',
    path: '/v1/instances',
    summary: 'List live instances, oldest first',
    security,
    request: { query: listQuerySchema },
    responses: {
      200: json(instancePageSchema, 'A page'),
      400: problem('Invalid query'),
      ...refused,
    },
  });
  registry.registerPath({
    method: 'get',
    path: '/v1/templates',
    summary: 'What may be started, and whether there is room',
    security,
    responses: { 200: json(templateListSchema, 'All templates'), ...refused },
  });
  registry.registerPath({
    method: 'get',
    path: '/v1/stats',
    summary: 'How many instances there are, and how many more the hosts hold',
    security,
    responses: { 200: json(statsSchema, 'The sums of the hosts that are alive'), ...refused },
  });
  registry.registerPath({
    method: 'delete',
    path: '/v1/instances',
    summary: 'End all instances',
    security,
    responses: {
      202: json(z.object({ ended: z.int() }), 'How many are ending'),
      ...refused,
    },
  });
  registry.registerPath({
    method: 'get',
    path: '/v1/instances/{id}',
    summary: 'Read an instance, or what is left of it',
    security,
    request: item,
    responses: {
      200: json(instanceSchema, 'The instance'),
      404: problem('Never known, or long gone'),
      ...refused,
    },
  });
  registry.registerPath({
    method: 'delete',
    path: '/v1/instances/{id}',
    summary: 'End an instance',
    security,
    request: item,
    responses: {
      202: json(instanceSchema, 'It is ending'),
      404: problem('Never known, or long gone'),
      410: problem('It has ended already'),
      ...refused,
    },
  });
  registry.registerPath({
    method: 'post',
    path: '/v1/instances/{id}/renew',
    summary: 'Move the deadline of a ready instance, below its ceiling',
    security,
    request: {
      ...item,
      body: { content: { 'application/json': { schema: renewRequestSchema } } },
    },
    responses: {
      200: json(instanceSchema, 'With its new lease'),
      400: problem('Invalid timeout or time'),
      404: problem('Never known, or long gone'),
      409: problem('Not ready yet'),
      410: problem('Its end came first'),
      ...refused,
    },
  });
  registry.registerPath({
    method: 'post',
    path: '/v1/links',
    summary: 'Make a signed link, by which visitors start instances on the account of this token',
    security,
    request: { body: { content: { 'application/json': { schema: linkRequestSchema } } } },
    responses: {
      201: json(linkSchema, 'The link; whoever has it may use it'),
      400: problem('Unknown template, invalid timeout, unknown field, broken JSON'),
      409: problem('The template is for tokens alone, or there is no key to sign with'),
      ...refused,
    },
  });
  describeInstanceOperations(registry, security, refused);
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: { title: 'Ephemera', version, description: 'The control API of Ephemera.' },
  });
}
