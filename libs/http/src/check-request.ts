import type { RouteDeclaration } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import type { Issue } from '@ephemera/domain';
import { issuesOf } from '@ephemera/config';
import type { Context } from 'koa';
import { z } from 'zod';
import { hasBody } from './read-body.ts';
import type { ReadBody } from './read-body.ts';

/** Limits of one problem: how many issues it lists, and how many characters of a name it repeats. */
const MAX_ISSUES = 32;
const MAX_NAME_LENGTH = 100;

/** Whether parameters, fields and bodies that a route does not declare are refused or ignored. */
export type Unknown = 'refuse' | 'ignore';

/** The checked input of a handler, before `route()` gives it the types of the declaration. */
export interface CheckedInput {
  readonly params: unknown;
  readonly query: unknown;
  readonly headers: unknown;
  readonly body: unknown;
}

/**
 * Checks a request against the declaration of its route.
 * @param pathParams the parameters of the path, decoded
 * @param readBody undefined where the route takes no body, or reads it as a stream
 * @throws ApiError not_found for an invalid path parameter; invalid with every issue of the query,
 * the headers and the body
 */
export async function checkRequest(
  route: RouteDeclaration,
  ctx: Context,
  pathParams: Readonly<Record<string, string>>,
  readBody: ((ctx: Context) => Promise<ReadBody>) | undefined,
  unknown: Unknown,
): Promise<CheckedInput> {
  const params = route.params?.safeParse(pathParams);
  if (params?.success === false) {
    throw new ApiError({ kind: 'not_found', what: route.absent ?? 'such page' });
  }
  const faults: Issue[] = [];
  let status: number | undefined;
  const parse = (part: 'query' | 'header' | 'body', schema: z.ZodType, input: unknown): unknown => {
    const result = schema.safeParse(input);
    if (result.success) return result.data;
    const describeUnknown = (at: readonly PropertyKey[]) =>
      `unknown field. ${known(fieldsAt(schema, at))}`;
    faults.push(
      ...issuesOf(result.error, describeUnknown).map((fault) => ({ ...fault, in: part })),
    );
    return undefined;
  };

  const { input, faults: queryFaults } = readQuery(route.query, ctx.querystring, unknown);
  faults.push(...queryFaults);
  const query = route.query && parse('query', route.query, input);
  const headers = route.headers && parse('header', route.headers, ctx.req.headers);
  let body: unknown;
  if (readBody && route.body) {
    const read = await readBody(ctx);
    if (read.ok) {
      body = parse('body', route.body.schema, read.body);
    } else {
      faults.push(read.fault);
      if (read.status !== 400) ({ status } = read);
    }
  } else if (unknown === 'refuse' && !route.body && hasBody(ctx)) {
    faults.push({ path: '', detail: `${route.method} takes no body`, in: 'body' });
  }

  if (faults.length > 0) {
    const named = faults.slice(0, MAX_ISSUES).map(shorten);
    const more = faults.length - named.length;
    if (more > 0) named.push({ path: '', detail: `and ${more} more` });
    throw new ApiError({ kind: 'invalid', faults: named, ...(status && { status }) });
  }
  return { params: params?.data, query, headers, body };
}

/** Collects query parameters by name. A parameter whose schema is an array may be repeated. */
function readQuery(
  schema: z.ZodObject | undefined,
  querystring: string,
  unknown: Unknown,
): { input: Record<string, string | string[] | undefined>; faults: Issue[] } {
  const query = new URLSearchParams(querystring);
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema?.shape ?? {};
  const input: Record<string, string | string[] | undefined> = {};
  const faults: Issue[] = [];
  for (const name of new Set(query.keys())) {
    const declared = Object.hasOwn(shape, name) ? shape[name] : undefined;
    const values = query.getAll(name);
    if (!declared) {
      if (unknown === 'ignore') continue;
      const detail = `unknown query parameter. ${known(Object.keys(shape))}`;
      faults.push({ path: name, detail, in: 'query' });
    } else if (unwrap(declared) instanceof z.ZodArray) {
      input[name] = values;
    } else {
      input[name] = values[0];
      if (values.length > 1) {
        const detail = `given ${values.length} times. Give it once`;
        faults.push({ path: name, detail, in: 'query' });
      }
    }
  }
  return { input, faults };
}

function known(names: readonly string[]): string {
  return names.length === 0 ? 'This route takes none' : `Known here: ${names.join(', ')}`;
}

/** The field names of the object at a path within a schema; empty if there is no object. */
function fieldsAt(schema: z.core.$ZodType, at: readonly PropertyKey[]): string[] {
  let inner = unwrap(schema);
  for (const key of at) {
    if (inner instanceof z.ZodObject) {
      const field = (inner.shape as Record<PropertyKey, z.core.$ZodType | undefined>)[key];
      if (!field) return [];
      inner = unwrap(field);
    } else if (inner instanceof z.ZodArray) {
      inner = unwrap(inner.element);
    } else {
      return [];
    }
  }
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** The input schema below defaults, optionals and transforms. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return unwrap(schema.unwrap());
  }
  return schema instanceof z.ZodPipe ? unwrap(schema.in) : schema;
}

function shorten(fault: Issue): Issue {
  return fault.path.length <= MAX_NAME_LENGTH
    ? fault
    : { ...fault, path: `${fault.path.slice(0, MAX_NAME_LENGTH)}…` };
}
