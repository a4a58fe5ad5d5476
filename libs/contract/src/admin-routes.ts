import { isId } from '@ephemera/domain';
import { createRequestSchema } from './create-request.ts';
import { eventSchema, eventsQuerySchema } from './event-resource.ts';
import { healthSchema, partReadinessSchema, readinessSchema } from './health-resource.ts';
import { createdSchema, instancePageSchema, instanceSchema } from './instance-resource.ts';
import { linkRequestSchema, linkSchema } from './link-request.ts';
import { instanceFilterSchema, listQuerySchema } from './list-query.ts';
import { logsQuerySchema, usageSchema } from './logs-query.ts';
import { z } from './openapi-zod.ts';
import { renewRequestSchema } from './renew-request.ts';
import { defineRoute, json, problem } from './route.ts';
import { statsSchema, templateListSchema } from './template-resource.ts';

const item = {
  params: z.object({ id: z.string().refine(isId, 'is no id of an instance') }),
  absent: 'instance of this id',
} as const;

const FAILED_START = 'It could not be started (asked for with Prefer)';
const HOST_SILENT = 'Redis is away, or no worker of its host answers';

function suspension(op: 'pause' | 'resume', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/instances/{id}/${op}`,
    summary,
    token: true,
    ...item,
    responses: {
      200: json(instanceSchema, 'As it now is; again is the same'),
      409: problem('Not to be done in its state'),
      410: problem('It has ended'),
      503: problem(HOST_SILENT),
    },
  });
}

/** Every route of the admin port. */
export const adminRoutes = {
  health: defineRoute({
    method: 'GET',
    path: '/healthz',
    summary: 'Whether the process answers',
    responses: { 200: json(healthSchema, 'It does') },
  }),
  readiness: defineRoute({
    method: 'GET',
    path: '/readyz',
    summary: 'Whether the replica can do its whole work',
    responses: {
      200: json(readinessSchema, 'It can'),
      503: json(readinessSchema, 'Some part is missing'),
    },
  }),
  partReadiness: defineRoute({
    method: 'GET',
    path: '/readyz/{part}',
    summary: 'Whether one part of readiness is there',
    params: z.object({ part: z.string() }),
    absent: 'part of this name',
    responses: {
      200: json(partReadinessSchema, 'It is'),
      503: json(partReadinessSchema, 'It is missing'),
    },
  }),
  openApi: defineRoute({
    method: 'GET',
    path: '/openapi.json',
    summary: 'Read this document',
    token: true,
    responses: { 200: json(z.looseObject({ openapi: z.string() }), 'OpenAPI 3.1') },
  }),
  metrics: defineRoute({
    method: 'GET',
    path: '/metrics',
    summary: 'Read the metrics of this replica',
    token: true,
    responses: {
      200: { description: 'For Prometheus', content: { 'text/plain': z.string() } },
    },
  }),
  createInstance: defineRoute({
    method: 'POST',
    path: '/v1/instances',
    summary: 'Start an instance',
    token: true,
    headers: z.object({
      prefer: z.string().optional().openapi({ description: '`wait=N`: up to N s until ready' }),
      'idempotency-key': z
        .string()
        .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters, given once')
        .optional()
        .openapi({
          description: 'Kept for 24 hours: the same key and body give the same instance.',
        }),
    }),
    body: { type: 'json', schema: createRequestSchema, limit: 262_144 },
    responses: {
      201: json(createdSchema, 'It is ready: a warm one, or asked for with Prefer'),
      202: json(createdSchema, 'It is starting, or queued; Location tells where to look'),
      400: problem('Unknown template, invalid timeout, unknown field, broken JSON'),
      422: problem('The Idempotency-Key came with another body before'),
      429: problem('Full (`limit` says what is), or asked too often; Retry-After tells when again'),
      502: problem(FAILED_START),
    },
  }),
  listInstances: defineRoute({
    method: 'GET',
    path: '/v1/instances',
    summary: 'List live instances, oldest first',
    token: true,
    query: listQuerySchema,
    responses: { 200: json(instancePageSchema, 'A page') },
  }),
  endInstances: defineRoute({
    method: 'DELETE',
    path: '/v1/instances',
    summary: 'End the instances that match all filters; without a filter, all of them',
    description: 'A filter that matches no instance ends none; so does an unknown template.',
    token: true,
    query: instanceFilterSchema,
    responses: {
      202: json(z.object({ ended: z.int() }), 'How many are ending'),
    },
  }),
  readInstance: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}',
    summary: 'Read an instance, or what is left of it',
    token: true,
    ...item,
    responses: {
      200: json(instanceSchema, 'The instance'),
      404: problem('Never known, or long gone'),
    },
  }),
  endInstance: defineRoute({
    method: 'DELETE',
    path: '/v1/instances/{id}',
    summary: 'End an instance',
    token: true,
    ...item,
    responses: {
      202: json(instanceSchema, 'It is ending'),
      404: problem('Never known, or long gone'),
      410: problem('It has ended already'),
    },
  }),
  renewInstance: defineRoute({
    method: 'POST',
    path: '/v1/instances/{id}/renew',
    summary: 'Move the deadline of a ready instance, below its ceiling',
    token: true,
    ...item,
    body: { type: 'json', schema: renewRequestSchema, limit: 262_144 },
    responses: {
      200: json(instanceSchema, 'With its new lease'),
      400: problem('Invalid timeout or time'),
      404: problem('Never known, or long gone'),
      409: problem('Not ready yet'),
      410: problem('Its end came first'),
    },
  }),
  readLog: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}/logs',
    summary: 'Read what an instance wrote, also for a while after its end',
    token: true,
    ...item,
    query: logsQuerySchema,
    responses: {
      200: { description: 'Its log', content: { 'text/plain': z.string() } },
      503: problem(HOST_SILENT),
    },
  }),
  readUsage: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}/stats',
    summary: 'Read what an instance uses',
    token: true,
    ...item,
    responses: {
      200: json(usageSchema, 'At this moment'),
      409: problem('It has no container yet'),
      410: problem('It has ended'),
      503: problem(HOST_SILENT),
    },
  }),
  pauseInstance: suspension('pause', 'Freeze a ready instance'),
  resumeInstance: suspension('resume', 'Let a paused instance run again'),
  followEvents: defineRoute({
    method: 'GET',
    path: '/v1/events',
    summary: 'Follow every change, as server-sent events',
    description: 'Each event has a type, its place as id, and an Event as data.',
    token: true,
    headers: z.object({
      'last-event-id': z
        .string()
        .regex(/^(?:\d{1,16}(?:-\d{1,16})?)?$/, 'is no id that this stream has given')
        .optional()
        .openapi({
          description: 'Goes on after this place; `0`: from all that is kept. Else from now on.',
        }),
    }),
    query: eventsQuerySchema,
    responses: {
      200: { description: 'Events', content: { 'text/event-stream': eventSchema } },
    },
  }),
  listTemplates: defineRoute({
    method: 'GET',
    path: '/v1/templates',
    summary: 'What may be started, and whether there is room',
    token: true,
    responses: { 200: json(templateListSchema, 'All templates') },
  }),
  readStats: defineRoute({
    method: 'GET',
    path: '/v1/stats',
    summary: 'How many instances there are, and how many more the hosts hold',
    token: true,
    responses: { 200: json(statsSchema, 'The sums of the hosts that are alive') },
  }),
  createLink: defineRoute({
    method: 'POST',
    path: '/v1/links',
    summary: 'Make a signed link, by which visitors start instances on the account of this token',
    token: true,
    body: { type: 'json', schema: linkRequestSchema, limit: 16_384 },
    responses: {
      201: json(linkSchema, 'The link; whoever has it may use it'),
      400: problem('Unknown template, invalid timeout, unknown field, broken JSON'),
      409: problem('The template is for tokens alone, or there is no key to sign with'),
    },
  }),
} as const;
