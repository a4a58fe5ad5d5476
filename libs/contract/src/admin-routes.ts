import { HOST_ID, isId } from '@ephemera/domain';
import { createRequestSchema } from './create-request.ts';
import { eventSchema, eventsQuerySchema } from './event-resource.ts';
import {
  EXEC_BODY_BYTES,
  execEventSchema,
  execInputSchema,
  execKillSchema,
  execParamsSchema,
  execQuerySchema,
  execReadQuerySchema,
  execRequestSchema,
  execResizeSchema,
  execSchema,
} from './exec-resource.ts';
import {
  certificateSchema,
  healthSchema,
  partReadinessSchema,
  readinessSchema,
} from './health-resource.ts';
import { fileRoutes } from './file-routes.ts';
import { drainRequestSchema, hostListSchema, hostSchema } from './host-resource.ts';
import {
  createdSchema,
  instanceDetailSchema,
  instancePageSchema,
  instanceSchema,
  renewedSchema,
} from './instance-resource.ts';
import { linkRequestSchema, linkSchema } from './link-request.ts';
import { instanceFilterSchema, listQuerySchema } from './list-query.ts';
import { logsQuerySchema, usageSchema } from './logs-query.ts';
import { nameRoutes } from './name-routes.ts';
import { EXAMPLE_ID } from './openapi-examples.ts';
import { z } from './openapi-zod.ts';
import { renewRequestSchema } from './renew-request.ts';
import { defineRoute, json, problem } from './route.ts';
import type { BodyDeclaration } from './route.ts';
import { statsSchema, templateListSchema } from './template-resource.ts';

const item = {
  params: z.object({
    id: z
      .string()
      .refine(isId, 'is not a valid instance id')
      .openapi({ description: 'Id of the instance.', example: EXAMPLE_ID }),
  }),
  absent: 'instance of this id',
} as const;

const FAILED_START = 'The start failed (only with `Prefer: wait`)';
const TOO_MANY_CHANGES = 'The token has exceeded `changesPerToken`';
const HOST_SILENT = 'Redis is unavailable, or no worker of the host answers';

function suspension(op: 'pause' | 'resume', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/instances/{id}/${op}`,
    summary,
    token: true,
    ...item,
    responses: {
      200: json(
        instanceSchema,
        'The instance in its new state. A repeated request has the same response',
      ),
      409: problem('Not possible in the state of the instance'),
      410: problem('The instance has ended'),
      429: problem(TOO_MANY_CHANGES),
      503: problem(HOST_SILENT),
    },
  });
}

const command = {
  params: item.params.extend({ execId: execParamsSchema }),
  absent: 'command of this id in this instance',
} as const;

const EXEC_REFUSED =
  'The token may not run commands in this instance; the response is the same if there is no such instance';
const EXEC_ENDED = 'The instance has ended';
const EXEC_IMPOSSIBLE =
  'The template does not allow commands, or the instance is paused or not ready yet';

/** A running command in JSON, or its events. */
const followed = (description: string) => ({
  description,
  content: { 'application/json': execSchema, 'text/event-stream': execEventSchema },
});

function commandChange<const B extends BodyDeclaration>(
  op: 'stdin' | 'kill' | 'resize',
  summary: string,
  body: B,
) {
  return defineRoute({
    method: 'POST',
    path: `/v1/instances/{id}/exec/{execId}/${op}`,
    summary,
    token: true,
    ...command,
    body,
    responses: {
      204: { description: 'Done' },
      403: problem(EXEC_REFUSED),
      409: problem('Not possible in the state of the command or of the instance'),
      410: problem(EXEC_ENDED),
      429: problem(TOO_MANY_CHANGES),
      503: problem(HOST_SILENT),
    },
  });
}

const host = {
  params: z.object({
    host: z
      .string()
      .regex(HOST_ID, 'is not a valid host name')
      .openapi({ description: 'Name of the host.', example: 'host-1' }),
  }),
  absent: 'host of this name',
} as const;

/** Every route of the admin port. */
export const adminRoutes = {
  checkHealth: defineRoute({
    method: 'GET',
    path: '/healthz',
    summary: 'Check that the process answers',
    responses: { 200: json(healthSchema, 'The process answers') },
  }),
  checkReadiness: defineRoute({
    method: 'GET',
    path: '/readyz',
    summary: 'Check that the replica can serve every kind of request',
    responses: {
      200: json(readinessSchema, 'Ready'),
      503: json(readinessSchema, 'Not ready; `parts` shows what is missing'),
    },
  }),
  checkPartReadiness: defineRoute({
    method: 'GET',
    path: '/readyz/{part}',
    summary: 'Check one part of the readiness, such as `running`',
    params: z.object({
      part: z.string().openapi({ description: 'Name of a part, as `/readyz` lists them.' }),
    }),
    absent: 'part of this name',
    responses: {
      200: json(partReadinessSchema, 'Ready'),
      503: json(partReadinessSchema, 'Not ready'),
    },
  }),
  checkHostName: defineRoute({
    method: 'GET',
    path: '/tls/ask',
    summary:
      'Check that a host name belongs to a living instance, before a certificate is obtained',
    query: z.object({
      domain: z.string().openapi({ description: 'Host name that a visitor asked for.' }),
    }),
    responses: {
      200: json(certificateSchema, 'A living instance has this host name'),
      404: problem('No living instance has this host name'),
      503: problem('Redis is unavailable'),
    },
  }),
  readOpenApi: defineRoute({
    method: 'GET',
    path: '/openapi.json',
    summary: 'Read the OpenAPI document',
    responses: { 200: json(z.looseObject({ openapi: z.string() }), 'OpenAPI 3.1') },
  }),
  showReference: defineRoute({
    method: 'GET',
    path: '/docs',
    summary: 'Show this description as a page',
    responses: { 200: { description: 'The page', content: { 'text/html': z.string() } } },
  }),
  readMetrics: defineRoute({
    method: 'GET',
    path: '/metrics',
    summary: 'Read the metrics of this replica',
    token: true,
    responses: {
      200: {
        description: 'Metrics in the Prometheus text format',
        content: { 'text/plain': z.string() },
      },
    },
  }),
  createInstance: defineRoute({
    method: 'POST',
    path: '/v1/instances',
    summary: 'Start an instance',
    token: true,
    headers: z.object({
      prefer: z
        .string()
        .optional()
        .openapi({ description: '`wait=N`: wait up to N seconds until the instance is ready.' }),
      'idempotency-key': z
        .string()
        .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters, given once')
        .optional()
        .openapi({
          description:
            'The same key with the same body returns the same instance, for 24 hours. With signing keys, also its access token.',
        }),
    }),
    body: { type: 'json', schema: createRequestSchema, limit: 262_144 },
    responses: {
      201: json(
        createdSchema,
        'The instance is ready: a warm one was claimed, or `Prefer: wait` was sent',
      ),
      202: json(
        createdSchema,
        'The instance is starting or queued; `Location` is its address in this API',
      ),
      400: problem('Unknown template, invalid timeout, unknown field, broken JSON'),
      422: problem('The `Idempotency-Key` was used with another body'),
      429: problem(
        'A capacity limit (named in `limit`) or a rate limit is exceeded; `Retry-After` says when to try again',
      ),
      502: problem(FAILED_START),
    },
  }),
  listInstances: defineRoute({
    method: 'GET',
    path: '/v1/instances',
    summary: 'List live instances, oldest first',
    token: true,
    query: listQuerySchema,
    responses: { 200: json(instancePageSchema, 'One page of instances') },
  }),
  endInstances: defineRoute({
    method: 'DELETE',
    path: '/v1/instances',
    summary: 'End the instances that match all filters; without a filter, all of them',
    description: 'A filter that matches no instance ends none. An unknown template is no error.',
    token: true,
    query: instanceFilterSchema,
    responses: {
      202: json(z.object({ ended: z.int() }), 'Number of instances that are ending'),
    },
  }),
  readInstance: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}',
    summary: 'Read an instance, also for a while after its end',
    token: true,
    ...item,
    responses: {
      200: json(instanceDetailSchema, 'The instance'),
      404: problem('Unknown id, or the tombstone has expired'),
    },
  }),
  endInstance: defineRoute({
    method: 'DELETE',
    path: '/v1/instances/{id}',
    summary: 'End an instance',
    token: true,
    ...item,
    responses: {
      202: json(instanceSchema, 'The instance is ending'),
      404: problem('Unknown id, or the tombstone has expired'),
      410: problem('The instance has already ended'),
    },
  }),
  renewInstance: defineRoute({
    method: 'POST',
    path: '/v1/instances/{id}/renew',
    summary: 'Renew the lease of a ready instance, up to its maximum lifetime',
    token: true,
    ...item,
    body: { type: 'json', schema: renewRequestSchema, limit: 262_144 },
    responses: {
      200: json(renewedSchema, 'The instance with its deadline; `renewal` says what was done'),
      400: problem('Invalid timeout or time'),
      404: problem('Unknown id, or the tombstone has expired'),
      409: problem(
        'The instance is not ready yet, or the deadline would be earlier and `shorten` is not set',
      ),
      410: problem('The instance has ended'),
      429: problem(TOO_MANY_CHANGES),
    },
  }),
  readLog: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}/logs',
    summary: 'Read the log of an instance, also for a while after its end',
    token: true,
    ...item,
    query: logsQuerySchema,
    responses: {
      200: { description: 'The log', content: { 'text/plain': z.string() } },
      503: problem(HOST_SILENT),
    },
  }),
  readUsage: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}/stats',
    summary: 'Read the resource usage of an instance',
    token: true,
    ...item,
    responses: {
      200: json(usageSchema, 'The current usage'),
      409: problem('The instance has no container yet'),
      410: problem('The instance has ended'),
      503: problem(HOST_SILENT),
    },
  }),
  pauseInstance: suspension('pause', 'Pause a ready instance'),
  resumeInstance: suspension('resume', 'Resume a paused instance'),
  runCommand: defineRoute({
    method: 'POST',
    path: '/v1/instances/{id}/exec',
    summary: 'Run a command in a ready instance',
    description:
      'The template must allow it (`exec`). With `Accept: text/event-stream` the response is a stream of server-sent events: `started`, `stdout` and `stderr`, and `end`. The command continues if the client disconnects.',
    token: true,
    ...item,
    query: execQuerySchema,
    headers: z.object({
      prefer: z.string().optional().openapi({
        description:
          '`wait=N`: wait up to N seconds, at most 300, until the command ends. Default: return at once.',
      }),
    }),
    body: { type: 'json', schema: execRequestSchema, limit: EXEC_BODY_BYTES },
    responses: {
      200: followed('The command has ended, or its events follow'),
      202: json(execSchema, 'The command is running; `Location` is its address in this API'),
      400: problem('Unknown or invalid field, or Docker refuses a field'),
      403: problem(EXEC_REFUSED),
      409: problem(EXEC_IMPOSSIBLE),
      410: problem(EXEC_ENDED),
      429: problem('Too many commands run, or the token has exceeded `changesPerToken`'),
      503: problem(HOST_SILENT),
    },
  }),
  readCommand: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}/exec/{execId}',
    summary: 'Read the state and the stored output of a command',
    description:
      'Also for ten minutes after its end, while the instance lives. With `Accept: text/event-stream`, the output follows from the given positions on.',
    token: true,
    ...command,
    query: execReadQuerySchema,
    headers: z.object({
      prefer: z.string().optional().openapi({
        description: '`wait=N`: wait up to N seconds, at most 300, until the command ends.',
      }),
    }),
    refusesHead: true,
    responses: {
      200: followed('The command, or its events'),
      403: problem(EXEC_REFUSED),
      409: problem(EXEC_IMPOSSIBLE),
      410: problem(EXEC_ENDED),
      429: problem('Too many requests wait for commands of this instance or of its host'),
      503: problem(HOST_SILENT),
    },
  }),
  writeCommandInput: commandChange('stdin', 'Write to the standard input of a running command', {
    type: 'json',
    schema: execInputSchema,
    limit: EXEC_BODY_BYTES,
  }),
  killCommand: commandChange('kill', 'Signal all processes of a running command', {
    type: 'json',
    schema: execKillSchema,
    limit: 16_384,
  }),
  resizeCommand: commandChange('resize', 'Change the size of the terminal of a command', {
    type: 'json',
    schema: execResizeSchema,
    limit: 16_384,
  }),
  ...fileRoutes,
  followEvents: defineRoute({
    method: 'GET',
    path: '/v1/events',
    summary: 'Follow events, as a server-sent event stream',
    description:
      'Each server-sent event has the event type, the position as `id`, and an `Event` as data.',
    token: true,
    headers: z.object({
      'last-event-id': z
        .string()
        .regex(/^(?:\d{1,16}(?:-\d{1,16})?)?$/, 'is not an event id of this stream')
        .optional()
        .openapi({
          description:
            'Position to continue after. `0` starts with the oldest stored event. Default: only new events.',
        }),
    }),
    query: eventsQuerySchema,
    responses: {
      200: { description: 'The event stream', content: { 'text/event-stream': eventSchema } },
    },
  }),
  listTemplates: defineRoute({
    method: 'GET',
    path: '/v1/templates',
    summary: 'List the templates with their limits and free capacity',
    token: true,
    responses: { 200: json(templateListSchema, 'All templates') },
  }),
  readStats: defineRoute({
    method: 'GET',
    path: '/v1/stats',
    summary: 'Read the number of instances and the free capacity of the hosts',
    token: true,
    responses: {
      200: json(
        statsSchema,
        'Capacity of the live hosts that are not cordoned, and the instances of all hosts',
      ),
    },
  }),
  listHosts: defineRoute({
    method: 'GET',
    path: '/v1/hosts',
    summary: 'List every Docker host that was ever registered, by name',
    token: true,
    responses: { 200: json(hostListSchema, 'All hosts') },
  }),
  readHost: defineRoute({
    method: 'GET',
    path: '/v1/hosts/{host}',
    summary: 'Read a Docker host',
    token: true,
    ...host,
    responses: { 200: json(hostSchema, 'The host') },
  }),
  cordonHost: defineRoute({
    method: 'POST',
    path: '/v1/hosts/{host}/cordon',
    summary: 'Start no further instances on a host',
    description:
      'Its instances keep running, and warm ones can still be claimed. A drain of the host is stopped.',
    token: true,
    ...host,
    responses: { 200: json(hostSchema, 'The cordoned host') },
  }),
  uncordonHost: defineRoute({
    method: 'POST',
    path: '/v1/hosts/{host}/uncordon',
    summary: 'Start instances on a host again',
    token: true,
    ...host,
    responses: { 200: json(hostSchema, 'The host') },
  }),
  drainHost: defineRoute({
    method: 'POST',
    path: '/v1/hosts/{host}/drain',
    summary: 'Empty a host, so that its machine may be switched off',
    description:
      'Cordons the host and ends its warm instances. All others end at their own deadlines, or after `timeout`. `cordon.drain.done` of the host says when none is left.',
    token: true,
    ...host,
    body: { type: 'json', schema: drainRequestSchema, limit: 16_384 },
    responses: { 200: json(hostSchema, 'The host that is being drained') },
  }),
  ...nameRoutes,
  createLink: defineRoute({
    method: 'POST',
    path: '/v1/links',
    summary: 'Create a signed link that lets visitors start instances',
    token: true,
    body: { type: 'json', schema: linkRequestSchema, limit: 16_384 },
    responses: {
      201: json(
        linkSchema,
        'The link. Everyone who has it may use it; the instances count towards the quota of this token',
      ),
      400: problem('Unknown template, invalid timeout, unknown field, broken JSON'),
      409: problem(
        'The template accepts only tokens (`create: token`), or no signing key is configured',
      ),
    },
  }),
} as const;
