import type { OpenAPIRegistry, RouteConfig } from '@asteasolutions/zod-to-openapi';
import { EVENT_TYPES } from '@ephemera/domain';
import { eventSchema } from './event-resource.ts';
import { instanceSchema } from './instance-resource.ts';
import { logsQuerySchema, usageSchema } from './logs-query.ts';
import { z } from './openapi-zod.ts';
import { problemSchema } from './problem.ts';

type Responses = RouteConfig['responses'];

/** Describes events, logs, usage, pause and resume. @param refused what every path may answer */
export function describeInstanceOperations(
  registry: OpenAPIRegistry,
  security: NonNullable<RouteConfig['security']>,
  refused: Responses,
): void {
  const json = (schema: z.ZodType, description: string) => ({
    description,
    content: { 'application/json': { schema } },
  });
  const problem = (description: string) => ({
    description,
    content: { 'application/problem+json': { schema: problemSchema } },
  });
  const params = z.object({ id: z.string() });
  const absent = {
    404: problem('Never known, or long gone'),
    503: problem('Redis is away, or no worker of its host answers'),
  };

  registry.registerPath({
    method: 'get',
    path: '/v1/events',
    summary: 'Follow every change, as server-sent events',
    description: 'Each event has a type, its place as id, and an Event as data.',
    security,
    request: {
      headers: z.object({
        'last-event-id': z.string().optional().openapi({
          description: 'Goes on after this place; `0`: from all that is kept. Else from now on.',
        }),
      }),
      query: z.object({
        instance: z.string().optional().openapi({ description: 'Ids, with commas.' }),
        template: z.string().optional().openapi({ description: 'Names, with commas.' }),
        type: z
          .string()
          .optional()
          .openapi({ description: `With commas: ${EVENT_TYPES.join(', ')}.` }),
      }),
    },
    responses: {
      ...refused,
      200: { description: 'Events', content: { 'text/event-stream': { schema: eventSchema } } },
      400: problem('Invalid query or place'),
    },
  });
  registry.registerPath({
    method: 'get',
    path: '/v1/instances/{id}/logs',
    summary: 'Read what an instance wrote, also for a while after its end',
    security,
    request: { params, query: logsQuerySchema },
    responses: {
      ...refused,
      ...absent,
      200: { description: 'Its log', content: { 'text/plain': { schema: z.string() } } },
      400: problem('Invalid query'),
    },
  });
  registry.registerPath({
    method: 'get',
    path: '/v1/instances/{id}/stats',
    summary: 'Read what an instance uses',
    security,
    request: { params },
    responses: {
      ...refused,
      ...absent,
      200: json(usageSchema, 'At this moment'),
      409: problem('It has no container yet'),
      410: problem('It has ended'),
    },
  });
  for (const op of ['pause', 'resume'] as const) {
    registry.registerPath({
      method: 'post',
      path: `/v1/instances/{id}/${op}`,
      summary: op === 'pause' ? 'Freeze a ready instance' : 'Let a paused instance run again',
      security,
      request: { params },
      responses: {
        ...refused,
        ...absent,
        200: json(instanceSchema, 'As it now is; again is the same'),
        409: problem('Not to be done in its state'),
        410: problem('It has ended'),
      },
    });
  }
}
