import {
  type ResponseDeclaration,
  defineRoute,
  flagSchema,
  landingPathSchema,
  problem,
} from '@ephemera/contract';
import { isId } from '@ephemera/domain';
import { z } from 'zod';
import { instanceViewSchema } from './visitors/instance-view-schema.ts';

const newQuerySchema = z.object({
  template: z.string().optional().describe('Name of the template. Default: the default template.'),
  link: z.string().optional().describe('Signed link.'),
  work: z
    .string()
    .optional()
    .describe('Proof of work: the challenge, a colon and the number found.'),
  path: landingPathSchema
    .optional()
    .describe(
      'Path at which the instance opens, such as `/lab?reset`. It begins with exactly one `/`. Default: `open` of the template.',
    ),
  again: z
    .string()
    .optional()
    .describe('Id of an ended instance: start its template again, at its path.'),
  redirect: flagSchema('1').describe('`0`: answer with the id as text instead of a redirect.'),
});

/** The query parameters of `/{prefix}/new`. */
export type NewQuery = z.output<typeof newQuerySchema>;

const page = (description: string): ResponseDeclaration => ({
  description,
  content: { 'text/html': z.string() },
});

const refusals = {
  400: problem('Unknown template, or an invalid parameter, such as `path`'),
  401: problem('The template requires a token, or the token is invalid'),
  403: problem('Not an intended request, or the link or the proof of work is missing or invalid'),
  409: problem('The template cannot be started by visitors'),
  429: problem('A capacity limit or a rate limit is exceeded'),
  502: problem('The start failed'),
  503: problem('Redis is unavailable'),
} as const;

const startResponses = {
  200: {
    description:
      'With `redirect=0`: the id as text. Otherwise a page, if the visitor must confirm or do a proof of work first',
    content: { 'text/plain': z.string(), 'text/html': z.string() },
  },
  ...refusals,
} as const;

const ofInstance = {
  // Not the reference of a stable name, whose route is no instance's.
  params: z.object({ id: z.string().refine(isId).describe('Id of the instance.') }),
  absent: 'instance',
} as const;

const instanceRefusals = {
  403: problem('The instance requires its access token, or was started by another client'),
  404: problem('There is no such instance'),
  503: problem('Redis is unavailable'),
} as const;

const CHANGE =
  'The browser that started the instance sends it with the form of the page; other clients send the access token of a guarded instance in `Ephemera-Token`.';

const changeResponses = {
  ...instanceRefusals,
  200: {
    description: 'The state afterwards',
    content: { 'application/json': instanceViewSchema },
  },
  303: { description: 'A browser: redirect to the page of the instance' },
  409: problem('The instance is not ready yet'),
  410: problem('The instance has ended'),
  429: problem('Too many changes of this instance'),
} as const;

/** The product's own routes on the public port. All other paths are for instances. */
export function publicRoutes(prefix: string) {
  return {
    startByLink: defineRoute({
      method: 'GET',
      path: `/${prefix}/new`,
      summary: 'Start an instance and redirect to it',
      query: newQuerySchema,
      // HEAD must not start an instance.
      refusesHead: true,
      responses: { ...startResponses, 307: { description: 'Redirect to the instance' } },
    }),
    startByForm: defineRoute({
      method: 'POST',
      path: `/${prefix}/new`,
      summary: 'Start an instance and redirect to it',
      query: newQuerySchema,
      responses: { ...startResponses, 303: { description: 'Redirect to the instance' } },
    }),
    showRootPage: defineRoute({
      method: 'GET',
      path: '/',
      summary: 'Show the gallery',
      responses: { 200: page('The page') },
    }),
    showGallery: defineRoute({
      method: 'GET',
      path: `/${prefix}`,
      summary: 'Show the gallery',
      description:
        'The templates with `gallery: true`, or the default template without its name, each with a button that starts an instance. A browser also sees the instances that it has started.',
      responses: { 200: page('The page') },
    }),
    showInstance: defineRoute({
      method: 'GET',
      path: instancePath(prefix, '{id}'),
      summary: 'Show the state and the deadline of an instance',
      ...ofInstance,
      responses: {
        200: {
          description: 'The state. A browser gets a page',
          content: { 'application/json': instanceViewSchema, 'text/html': z.string() },
        },
        ...instanceRefusals,
      },
    }),
    renewOwnInstance: defineRoute({
      method: 'POST',
      path: `${instancePath(prefix, '{id}')}/renew`,
      summary: 'Renew the lease of an instance that this visitor started',
      description: `The template must have \`visitor.renew\`. ${CHANGE}`,
      ...ofInstance,
      responses: changeResponses,
    }),
    endOwnInstance: defineRoute({
      method: 'POST',
      path: `${instancePath(prefix, '{id}')}/end`,
      summary: 'End an instance that this visitor started',
      description: `The template must have \`visitor.end\`. ${CHANGE}`,
      ...ofInstance,
      responses: changeResponses,
    }),
    readCountdown: defineRoute({
      method: 'GET',
      path: `${instancePath(prefix, '{id}')}/countdown.js`,
      summary: 'A script that shows the time left in a page of the instance',
      ...ofInstance,
      responses: {
        200: { description: 'The script', content: { 'text/javascript': z.string() } },
      },
    }),
    followStart: defineRoute({
      method: 'GET',
      path: eventsPath(prefix, '{id}'),
      summary: 'Follow the start of an instance, as a server-sent event stream',
      ...ofInstance,
      responses: {
        200: { description: 'The event stream', content: { 'text/event-stream': z.string() } },
        403: problem('The instance requires its access token'),
        404: problem('There is no such instance'),
        503: problem('Redis is unavailable'),
      },
    }),
  } as const;
}

/**
 * The path of the product's pages about an instance, on the origin of the instance in both address
 * forms. No id starts with `-`, and in host form the path contains the id. So it hides no path of
 * an application.
 */
function instancePath(prefix: string, id: string): string {
  return `/${prefix}/-/${id}`;
}

/** The path of a start's progress events. */
export function eventsPath(prefix: string, id: string): string {
  return `${instancePath(prefix, id)}/events`;
}
