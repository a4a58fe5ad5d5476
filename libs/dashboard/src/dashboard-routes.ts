import {
  type ResponseDeclaration,
  defineRoute,
  endReasonSchema,
  healthSchema,
  json,
  problem,
  readinessSchema,
  usageSchema,
} from '@ephemera/contract';
import { EVENT_TYPES, HOST_ID, isId } from '@ephemera/domain';
import type { Context } from 'koa';
import { BULK_ACTIONS, MAX_BULK } from './instances/bulk.ts';
import { filterFields, optionalField } from './instances/instances-filter.ts';
import { z } from 'zod';

/**
 * The path of the session cookie. It is never `/`: a browser sends cookies to every port of a host
 * name, so a cookie for `/` would reach the instances that the proxy serves on another port.
 */
export const SESSION_PATH = '/dashboard';

/** The pages that a login may lead to. */
const PAGES = [
  '/dashboard/instances',
  '/dashboard/templates',
  '/dashboard/ended',
  '/dashboard/events',
  '/dashboard/queues',
];

export const HOME = '/dashboard/instances';

/** Below `SESSION_PATH`: the browser must send the cookie of the session that it ends. */
export const LOGOUT = '/dashboard/logout';

/** Where a login leads: the requested page if it is one of the dashboard, else the home page. */
export function loginTarget(asked: string | undefined): string {
  const url = asked === undefined ? null : URL.parse(asked, 'http://dashboard');
  if (url?.host !== 'dashboard') return HOME;
  const path = url.pathname.replace(/\/$/, '');
  const known = PAGES.some((text) => path === text || path.startsWith(`${text}/`));
  return known ? `${path}${url.search}` : HOME;
}

/** The login page that leads back to the requested page. */
export function loginFor(ctx: Context): string {
  const target = ctx.method === 'GET' ? loginTarget(ctx.url) : HOME;
  return target === HOME
    ? '/dashboard/login'
    : `/dashboard/login?next=${encodeURIComponent(target)}`;
}

const page = (description: string): ResponseDeclaration => ({
  description,
  content: { 'text/html': z.string() },
});

const id = z.string().refine(isId, 'is not an instance id');

/** What an action on an instance led to, as the page that follows shows it. */
export const INSTANCE_NOTICES = ['extended', 'maximum', 'paused', 'resumed', 'ending'] as const;

/** By how much a lease is extended; `max`: to its maximum. Milliseconds. */
export const EXTENSIONS = { '15m': 900_000, '1h': 3_600_000, max: Infinity } as const;

const time = z.iso.datetime({ precision: 9, error: 'is not a position in a log' });

/** A page of a log, with the position at which the next one starts. */
const logPageSchema = z.object({
  lines: z.array(
    z.object({ time: z.string(), stream: z.enum(['stdout', 'stderr']), text: z.string() }),
  ),
  more: z.boolean(),
  next: z.object({ time: z.string(), count: z.int() }).optional(),
  isOver: z.boolean(),
});

/** A position in the stream of events. */
const eventPosition = z
  .string()
  .regex(/^\d{1,15}-\d{1,10}$/, 'is not a cursor of this page')
  .optional();

/** What an operator may do with a host. */
export type HostAction = 'cordon' | 'drain' | 'uncordon';

const hostName = z.string().regex(HOST_ID, 'is not a host name');

const guarded = {
  401: problem('No session and no valid token'),
  403: problem('The token lacks the required scope, or the request is cross-origin'),
  503: problem('Redis is unavailable'),
} as const;

const hostRoute = <const A extends HostAction>(action: A, summary: string) =>
  defineRoute({
    method: 'POST',
    path: `/dashboard/hosts/{host}/${action}`,
    summary,
    params: z.object({ host: hostName }),
    absent: 'host of this name',
    responses: { ...guarded, 303: { description: 'Redirect to the instances' } },
  });

const changed = (description: string) => ({
  ...guarded,
  303: { description },
  409: problem('The instance is in a state in which this is not possible'),
  410: problem('The instance has ended'),
});

/** The static files of the pages. They are public. */
export const ASSETS = {
  'style.css': 'text/css',
  'console.css': 'text/css',
  'live.js': 'text/javascript',
  'instance.js': 'text/javascript',
  'log.js': 'text/javascript',
  'poll.js': 'text/javascript',
  'charts.js': 'text/javascript',
  'uplot.js': 'text/javascript',
  'uplot.css': 'text/css',
  'ring.svg': 'image/svg+xml',
} as const;

/** Every route of the dashboard except those of bull-board, which are below `/dashboard/queues`. */
export const dashboardRoutes = {
  health: defineRoute({
    method: 'GET',
    path: '/healthz',
    summary: 'Report that the process is running',
    responses: { 200: json(healthSchema, 'It is running') },
  }),
  readiness: defineRoute({
    method: 'GET',
    path: '/readyz',
    summary: 'Report whether the pages can be served',
    responses: {
      200: json(readinessSchema, 'Ready'),
      503: json(readinessSchema, 'A check has failed'),
    },
  }),
  root: defineRoute({
    method: 'GET',
    path: '/',
    summary: 'Redirect to the dashboard',
    responses: { 302: { description: 'Redirect to the instances' } },
  }),
  home: defineRoute({
    method: 'GET',
    path: '/dashboard',
    summary: 'Redirect to the instances',
    responses: { 302: { description: 'Redirect to the instances' } },
  }),
  login: defineRoute({
    method: 'GET',
    path: '/dashboard/login',
    summary: 'The login page',
    // Any value is accepted: `loginTarget` allows only pages of the dashboard.
    query: z.object({ next: z.string().optional() }),
    responses: { 200: page('The page') },
  }),
  signIn: defineRoute({
    method: 'POST',
    path: '/dashboard/login',
    summary: 'Start a session',
    body: {
      type: 'form',
      schema: z.strictObject({
        token: z.string().default(''),
        next: z.string().optional(),
      }),
      limit: 4_096,
    },
    responses: {
      303: { description: 'Redirect to the requested page' },
      401: page('The token is invalid, or lacks scope read'),
      403: problem('The request is cross-origin'),
      429: page('Too many invalid tokens from this address'),
    },
  }),
  signOut: defineRoute({
    method: 'POST',
    path: LOGOUT,
    summary: 'End a session',
    responses: {
      303: { description: 'Redirect to the login page' },
      403: problem('The request is cross-origin'),
    },
  }),
  instances: defineRoute({
    method: 'GET',
    path: '/dashboard/instances',
    summary: 'The page of live instances',
    query: z.object({
      ...filterFields,
      offset: z
        .string()
        .regex(/^\d{1,6}$/, 'is not a position in this list')
        .default('0')
        .transform(Number),
      cursor: z
        .string()
        .regex(/^\d{1,15}$/, 'is not a cursor of this page')
        .default('0')
        .transform(Number),
      ending: id.optional(),
      absent: id.optional(),
      changedHost: hostName.optional(),
      unchanged: hostName.optional(),
      changed: z.coerce.number().int().min(0).max(MAX_BULK).optional(),
      skipped: z.coerce.number().int().min(0).max(MAX_BULK).optional(),
      failed: z.array(id).max(MAX_BULK).optional(),
    }),
    responses: { ...guarded, 200: page('The page') },
  }),
  changeInstances: defineRoute({
    method: 'POST',
    path: '/dashboard/instances',
    summary: 'End or extend the selected instances',
    body: {
      type: 'form',
      schema: z.strictObject({
        action: z.enum(BULK_ACTIONS),
        // A form with one selected instance has a text, and with more a list.
        id: z
          .union([id, z.array(id).max(MAX_BULK)], { error: 'select at most 50 instances' })
          .default([]),
      }),
      limit: 8_192,
    },
    responses: { ...guarded, 303: { description: 'Redirect to the instances' } },
  }),
  events: defineRoute({
    method: 'GET',
    path: '/dashboard/events',
    summary: 'The page of the latest events',
    query: z.object({
      before: eventPosition,
      template: optionalField(z.string().max(100)),
      type: optionalField(z.enum(EVENT_TYPES)),
    }),
    responses: { ...guarded, 200: page('The page') },
  }),
  templates: defineRoute({
    method: 'GET',
    path: '/dashboard/templates',
    summary: 'The page of the templates and webhooks',
    responses: { ...guarded, 200: page('The page') },
  }),
  ended: defineRoute({
    method: 'GET',
    path: '/dashboard/ended',
    summary: 'The page of ended instances',
    query: z.object({
      before: eventPosition,
      template: optionalField(z.string().max(100)),
      reason: optionalField(endReasonSchema),
    }),
    responses: { ...guarded, 200: page('The page') },
  }),
  instance: defineRoute({
    method: 'GET',
    path: '/dashboard/instances/{id}',
    summary: 'The page of one instance',
    params: z.object({ id }),
    absent: 'instance of this id',
    query: z.object({ notice: z.enum(INSTANCE_NOTICES).optional() }),
    responses: { ...guarded, 200: page('The page') },
  }),
  instanceLog: defineRoute({
    method: 'GET',
    path: '/dashboard/instances/{id}/log',
    summary: 'Read the next lines of a log',
    params: z.object({ id }),
    absent: 'instance of this id',
    query: z.object({
      after: time.optional(),
      count: z.coerce.number({ error: 'is not a number' }).int().min(1).max(1e9).default(1),
    }),
    responses: { ...guarded, 200: json(logPageSchema, 'The lines') },
  }),
  instanceLogFile: defineRoute({
    method: 'GET',
    path: '/dashboard/instances/{id}/log.txt',
    summary: 'Download a log',
    params: z.object({ id }),
    absent: 'instance of this id',
    responses: {
      ...guarded,
      200: { description: 'The log', content: { 'text/plain': z.string() } },
    },
  }),
  instanceUsage: defineRoute({
    method: 'GET',
    path: '/dashboard/instances/{id}/usage',
    summary: 'Read what an instance uses',
    params: z.object({ id }),
    absent: 'instance of this id',
    responses: {
      ...guarded,
      200: json(usageSchema, 'The usage'),
      409: problem('It has no running container'),
      410: problem('The instance has ended'),
    },
  }),
  extendInstance: defineRoute({
    method: 'POST',
    path: '/dashboard/instances/{id}/extend',
    summary: 'Extend the lease of an instance',
    params: z.object({ id }),
    absent: 'instance of this id',
    body: {
      type: 'form',
      schema: z.strictObject({
        by: z.enum(Object.keys(EXTENSIONS) as (keyof typeof EXTENSIONS)[]),
      }),
      limit: 256,
    },
    responses: changed('Redirect to the instance'),
  }),
  pauseInstance: defineRoute({
    method: 'POST',
    path: '/dashboard/instances/{id}/pause',
    summary: 'Pause an instance',
    params: z.object({ id }),
    absent: 'instance of this id',
    responses: changed('Redirect to the instance'),
  }),
  resumeInstance: defineRoute({
    method: 'POST',
    path: '/dashboard/instances/{id}/resume',
    summary: 'Resume an instance',
    params: z.object({ id }),
    absent: 'instance of this id',
    responses: changed('Redirect to the instance'),
  }),
  endInstance: defineRoute({
    method: 'POST',
    path: '/dashboard/instances/{id}/end',
    summary: 'End an instance',
    params: z.object({ id }),
    absent: 'instance of this id',
    query: z.object({ from: z.literal('instance').optional() }),
    responses: { ...guarded, 303: { description: 'Redirect to the page that sent the form' } },
  }),
  cordonHost: hostRoute('cordon', 'Start no further instances on a host'),
  drainHost: hostRoute('drain', 'Empty a host'),
  uncordonHost: hostRoute('uncordon', 'Start instances on a host again'),
} as const;

/** The route of one asset. */
export const assetRoute = (name: keyof typeof ASSETS) =>
  defineRoute({
    method: 'GET',
    path: `/dashboard/assets/${name}`,
    summary: 'A static file',
    responses: { 200: { description: 'The file', content: { [ASSETS[name]]: z.string() } } },
  });
