import { type ResponseDeclaration, defineRoute, flagSchema, problem } from '@ephemera/contract';
import { z } from 'zod';

const newQuerySchema = z.object({
  template: z.string().optional(),
  link: z.string().optional(),
  work: z.string().optional(),
  redirect: flagSchema('1'),
});

/** What `/{prefix}/new` reads of its query. */
export type NewQuery = z.output<typeof newQuerySchema>;

const page = (description: string): ResponseDeclaration => ({
  description,
  content: { 'text/html': z.string() },
});

const refusals = {
  400: problem('Unknown template, or an invalid parameter'),
  401: problem('A token is needed, or the token is not valid'),
  403: problem('Not asked for by a visitor, or the link or the work does not allow it'),
  409: problem('The template cannot be started by visitors'),
  429: problem('Full, or asked too often'),
  502: problem('It could not be started'),
  503: problem('Redis is away'),
} as const;

const startResponses = {
  200: {
    description: 'The bare id, with `redirect=0`; a page where there is something to do first',
    content: { 'text/plain': z.string(), 'text/html': z.string() },
  },
  ...refusals,
} as const;

/** The routes of the public port that are the product's own; all else is for instances. */
export function publicRoutes(prefix: string) {
  return {
    startByLink: defineRoute({
      method: 'GET',
      path: `/${prefix}/new`,
      summary: 'Start an instance',
      query: newQuerySchema,
      // A look must not start one.
      refusesHead: true,
      responses: { ...startResponses, 307: { description: 'To the instance' } },
    }),
    startByForm: defineRoute({
      method: 'POST',
      path: `/${prefix}/new`,
      summary: 'Start an instance',
      query: newQuerySchema,
      responses: { ...startResponses, 303: { description: 'To the instance' } },
    }),
    root: defineRoute({
      method: 'GET',
      path: '/',
      summary: 'The page with the button that starts an instance',
      responses: { 200: page('The page') },
    }),
    entrance: defineRoute({
      method: 'GET',
      path: `/${prefix}`,
      summary: 'The page with the button that starts an instance',
      responses: { 200: page('The page') },
    }),
    startEvents: defineRoute({
      method: 'GET',
      path: eventsPath(prefix, '{id}'),
      summary: 'Follow the start of an instance, as server-sent events',
      params: z.object({ id: z.string() }),
      absent: 'instance',
      responses: {
        200: { description: 'Steps', content: { 'text/event-stream': z.string() } },
        403: problem('Opened by its token alone'),
        404: problem('There is no such instance'),
        503: problem('Redis is away'),
      },
    }),
  } as const;
}

/**
 * Where the steps of a start are told, on the origin of the instance's own pages in either form of
 * address. `-` begins no id, and in host form the id stands in it: no application's path is hidden.
 */
export function eventsPath(prefix: string, id: string): string {
  return `/${prefix}/-/${id}/events`;
}
