import { isDeepStrictEqual } from 'node:util';
import { z } from './openapi-zod.ts';
import { problemSchema } from './problem.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * One response: its meaning, and its schema by media type. Without `content` the body is not
 * checked.
 */
export interface ResponseDeclaration {
  readonly description: string;
  readonly content?: Readonly<Record<string, z.ZodType>>;
}

/** The body of a request. */
export interface BodyDeclaration {
  /** `bytes`: any media type. The handler reads it as a stream, and checks its length. */
  readonly type: 'json' | 'form' | 'bytes';
  readonly schema: z.ZodType;
  /** Bytes, after decompression. */
  readonly limit: number;
}

/**
 * Everything that a route accepts and returns. `mountRoutes` of `@ephemera/http` checks requests
 * against it, tests check responses against it, and the OpenAPI document is generated from it.
 */
export interface RouteDeclaration {
  readonly method: Method;
  /** In OpenAPI syntax: `/v1/instances/{id}`. A parameter is one whole segment. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** Whether it requires a bearer token. */
  readonly token?: boolean;
  readonly params?: z.ZodObject;
  /** The missing object in the 404 for an invalid path parameter: `instance of this id`. */
  readonly absent?: string;
  /** A parameter whose schema is an array may be repeated. Every other parameter may occur once. */
  readonly query?: z.ZodObject;
  /** Lowercase names. Undeclared headers are ignored. */
  readonly headers?: z.ZodObject;
  readonly body?: BodyDeclaration;
  /** Set if GET has a side effect, so that HEAD is refused. */
  readonly refusesHead?: boolean;
  /** By status. `responsesOf` adds the statuses that the request checks return. */
  readonly responses: Readonly<Record<number, ResponseDeclaration>>;
}

/** The input of a route's handler: the outputs of its schemas. */
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

/** Keeps the exact types of a declaration, so that the handler's input is typed. */
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

/** The declared responses of a route, and those of its request and token checks. */
export function responsesOf(route: RouteDeclaration): Record<number, ResponseDeclaration> {
  return {
    400: problem('A parameter, field or header is unknown, repeated or invalid'),
    ...(route.params && { 404: problem(`There is no ${route.absent ?? 'such page'}`) }),
    ...(route.body && {
      413: problem('The body exceeds its limit'),
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
 * A pattern for a request path, with a named group for each parameter.
 * @param exact case-sensitive, and without a trailing slash
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

/** The checked part of a response. */
export interface CheckedResponse {
  readonly status: number;
  /** The Content-Type header, if there is one. */
  readonly type: string | undefined;
  /** The parsed JSON. Undefined: the body is not checked. */
  readonly body?: unknown;
}

/**
 * For tests: describes a status, media type, field or value that the route does not declare.
 * Returns undefined if the response conforms.
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
  // A client that prefers HTML gets every error as a page.
  if (status >= 400 && media === 'text/html') return undefined;
  const schema = declared.content[media];
  if (!schema) return `${where} does not declare ${media} with status ${status}`;
  if (body === undefined) return undefined;
  const result = schema.safeParse(body);
  if (!result.success) return `${where}, ${status}: ${z.prettifyError(result.error)}`;
  // An object schema strips unknown fields.
  if (isDeepStrictEqual(result.data, body)) return undefined;
  return `${where}, ${status}: the body has fields that its schema does not declare: ${JSON.stringify(body)}`;
}
