import { isDeepStrictEqual } from 'node:util';
import { z } from './openapi-zod.ts';
import { problemSchema } from './problem.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One response: what it means, and its schema by media type. Without `content` the body is free. */
export interface ResponseDeclaration {
  readonly description: string;
  readonly content?: Readonly<Record<string, z.ZodType>>;
}

/** The body of a request. */
export interface BodyDeclaration {
  readonly type: 'json' | 'form';
  readonly schema: z.ZodType;
  /** Bytes, after decompression. */
  readonly limit: number;
}

/**
 * Everything that a route accepts and answers. `mountRoutes` of `@ephemera/http` checks requests
 * against it, tests check responses against it, and the OpenAPI document is made from it.
 */
export interface RouteDeclaration {
  readonly method: Method;
  /** As OpenAPI writes it: `/v1/instances/{id}`. A parameter is one whole segment. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** Whether it takes a bearer token. */
  readonly token?: boolean;
  readonly params?: z.ZodObject;
  /** What a 404 says is not there when a path parameter is invalid: `instance of this id`. */
  readonly absent?: string;
  /** A parameter whose schema is an array may be repeated; every other may be given once. */
  readonly query?: z.ZodObject;
  /** Names in lower case. Headers that are not declared are ignored. */
  readonly headers?: z.ZodObject;
  readonly body?: BodyDeclaration;
  /** Set where GET has an effect, which HEAD must not have. */
  readonly refusesHead?: boolean;
  /** By status; the statuses that the guard itself answers are added by `responsesOf`. */
  readonly responses: Readonly<Record<number, ResponseDeclaration>>;
}

/** What the handler of a route is given: the outputs of its schemas. */
export interface RouteInput<R extends RouteDeclaration> {
  readonly params: R extends { readonly params: infer P extends z.ZodType }
    ? z.output<P>
    : undefined;
  readonly query: R extends { readonly query: infer Q extends z.ZodType } ? z.output<Q> : undefined;
  readonly headers: R extends { readonly headers: infer H extends z.ZodType }
    ? z.output<H>
    : undefined;
  readonly body: R extends { readonly body: { readonly schema: infer B extends z.ZodType } }
    ? z.output<B>
    : undefined;
}

/** Keeps the exact types of a declaration, so that its handler is typed by them. */
export function defineRoute<const R extends RouteDeclaration>(declaration: R): R {
  return declaration;
}

export function json(schema: z.ZodType, description: string): ResponseDeclaration {
  return { description, content: { 'application/json': schema } };
}

/** An error as problem+json. A client that prefers HTML gets a page instead. */
export function problem(description: string): ResponseDeclaration {
  return { description, content: { 'application/problem+json': problemSchema } };
}

/** The declared responses of a route and those that its guard and its token check add. */
export function responsesOf(route: RouteDeclaration): Record<number, ResponseDeclaration> {
  return {
    400: problem('A parameter, field or header is unknown, repeated or invalid'),
    ...(route.params && { 404: problem(`There is no ${route.absent ?? 'such page'}`) }),
    ...(route.body && {
      413: problem('The body is too large'),
      415: problem('The body has another media type'),
    }),
    ...(route.token === true && {
      401: problem('The token is missing or invalid'),
      403: problem('The token lacks the required scope'),
      503: problem('Redis is unavailable'),
    }),
    ...route.responses,
  };
}

/**
 * A pattern for the path of a request, with a group for each parameter.
 * @param exact in these very letters, without a slash at the end
 */
export function pathPattern(path: string, exact: boolean): RegExp {
  const parts = path.split(/\{(\w+)\}/);
  const source = parts.map((part, i) => (i % 2 === 1 ? `(?<${part}>[^/]+)` : escapePattern(part)));
  const end = exact || path.endsWith('/') ? '' : '/?';
  return new RegExp(`^${source.join('')}${end}$`, exact ? '' : 'i');
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/** A response, as far as it is checked. */
export interface CheckedResponse {
  readonly status: number;
  /** The header Content-Type; undefined where there is none. */
  readonly type: string | undefined;
  /** What was parsed from JSON; undefined where it is not to be checked. */
  readonly body?: unknown;
}

/**
 * What a response has that its route does not declare: a status, a media type, a field or a value.
 * For tests. Undefined where it is as declared.
 */
export function undeclaredIn(
  route: RouteDeclaration,
  { status, type, body }: CheckedResponse,
): string | undefined {
  const where = `${route.method} ${route.path}`;
  const declared = responsesOf(route)[status];
  if (!declared) return `${where} does not declare status ${status}`;
  const media = type?.split(';')[0]?.trim().toLowerCase();
  if (!declared.content || media === undefined) return undefined;
  // Every error is a page for a client that prefers HTML.
  if (status >= 400 && media === 'text/html') return undefined;
  const schema = declared.content[media];
  if (!schema) return `${where} does not declare ${media} with status ${status}`;
  if (body === undefined) return undefined;
  const result = schema.safeParse(body);
  if (!result.success) return `${where}, ${status}: ${z.prettifyError(result.error)}`;
  // An object schema removes the fields that it does not know.
  if (isDeepStrictEqual(result.data, body)) return undefined;
  return `${where}, ${status}: the body has fields that its schema does not declare: ${JSON.stringify(body)}`;
}
