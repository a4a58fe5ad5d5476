import {
  type ResponseDeclaration,
  defineRoute,
  flagSchema,
  landingPathSchema,
  problem,
} from '@ephemera/contract';
import { z } from 'zod';

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
      summary: 'Show the page with the button that starts an instance',
      responses: { 200: page('The page') },
    }),
    showLaunchPage: defineRoute({
      method: 'GET',
      path: `/${prefix}`,
      summary: 'Show the page with the button that starts an instance',
      responses: { 200: page('The page') },
    }),
    followStart: defineRoute({
      method: 'GET',
      path: eventsPath(prefix, '{id}'),
      summary: 'Follow the start of an instance, as a server-sent event stream',
      params: z.object({ id: z.string().describe('Id of the instance.') }),
      absent: 'instance',
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
 * The path of a start's progress events, on the origin of the instance's pages in both address
 * forms. No id starts with `-`, and in host form the path contains the id. So it hides no path of
 * an application.
 */
export function eventsPath(prefix: string, id: string): string {
  return `/${prefix}/-/${id}/events`;
}
