import {
  type ResponseDeclaration,
  defineRoute,
  healthSchema,
  json,
  problem,
  readinessSchema,
} from '@ephemera/contract';
import { isId } from '@ephemera/domain';
import { z } from 'zod';
import { LOGOUT } from './access/login-target.ts';

const page = (description: string): ResponseDeclaration => ({
  description,
  content: { 'text/html': z.string() },
});

const id = z.string().refine(isId, 'is no id of an instance');

const guarded = {
  401: problem('No session, and no valid token'),
  403: problem('A token of too little scope, or a page of another site asks'),
  503: problem('Redis is away'),
} as const;

/** The files that the pages use; they hold nothing secret. */
export const ASSETS = {
  'style.css': 'text/css',
  'live.js': 'text/javascript',
  'ring.svg': 'image/svg+xml',
} as const;

/** Every route of the dashboard but those of bull-board, which are below `/dashboard/queues`. */
export const dashboardRoutes = {
  health: defineRoute({
    method: 'GET',
    path: '/healthz',
    summary: 'Whether the process answers',
    responses: { 200: json(healthSchema, 'It does') },
  }),
  readiness: defineRoute({
    method: 'GET',
    path: '/readyz',
    summary: 'Whether its pages would answer',
    responses: {
      200: json(readinessSchema, 'They would'),
      503: json(readinessSchema, 'Some part is missing'),
    },
  }),
  root: defineRoute({
    method: 'GET',
    path: '/',
    summary: 'Redirect to the dashboard',
    responses: { 302: { description: 'To the instances' } },
  }),
  home: defineRoute({
    method: 'GET',
    path: '/dashboard',
    summary: 'Redirect to the instances',
    responses: { 302: { description: 'To the instances' } },
  }),
  login: defineRoute({
    method: 'GET',
    path: '/dashboard/login',
    summary: 'The page to sign in on',
    // Whatever it names, it leads to a page of the dashboard.
    query: z.object({ next: z.string().optional() }),
    responses: { 200: page('The page') },
  }),
  signIn: defineRoute({
    method: 'POST',
    path: '/dashboard/login',
    summary: 'Begin a session',
    body: {
      type: 'form',
      schema: z.strictObject({
        token: z.string().default(''),
        next: z.string().optional(),
      }),
      limit: 4_096,
    },
    responses: {
      303: { description: 'To the page that was asked for' },
      401: page('No token that opens the dashboard'),
      403: problem('A page of another site asks'),
      429: page('Too many invalid tokens from this address'),
    },
  }),
  signOut: defineRoute({
    method: 'POST',
    path: LOGOUT,
    summary: 'End a session',
    responses: {
      303: { description: 'To the login' },
      403: problem('A page of another site asks'),
    },
  }),
  instances: defineRoute({
    method: 'GET',
    path: '/dashboard/instances',
    summary: 'The page of what lives',
    query: z.object({
      cursor: z
        .string()
        .regex(/^\d{1,15}$/, 'is no cursor that this page has given')
        .default('0')
        .transform(Number),
      ending: id.optional(),
      absent: id.optional(),
    }),
    responses: { ...guarded, 200: page('The page') },
  }),
  endInstance: defineRoute({
    method: 'POST',
    path: '/dashboard/instances/{id}/end',
    summary: 'End an instance',
    params: z.object({ id }),
    absent: 'instance of this id',
    responses: { ...guarded, 303: { description: 'To the instances' } },
  }),
} as const;

/** The route of one asset. */
export const assetRoute = (name: keyof typeof ASSETS) =>
  defineRoute({
    method: 'GET',
    path: `/dashboard/assets/${name}`,
    summary: 'A file of the pages',
    responses: { 200: { description: 'The file', content: { [ASSETS[name]]: z.string() } } },
  });
