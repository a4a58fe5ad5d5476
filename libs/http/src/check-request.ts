import type { RouteDeclaration } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import type { Issue } from '@ephemera/domain';
import { issuesOf } from '@ephemera/config';
import type { Context } from 'koa';
import { z } from 'zod';
import { hasBody } from './read-body.ts';
import type { ReadBody } from './read-body.ts';

/** How many faults one problem names, and how much of a name it repeats. */
const MOST_FAULTS = 32;
const LONGEST_NAME = 100;

/** What is done with parameters, fields and bodies that a route does not declare. */
export type Unknown = 'refuse' | 'ignore';

/** The input of a handler, before it is typed. */
export interface CheckedInput {
  readonly params: unknown;
  readonly query: unknown;
  readonly headers: unknown;
  readonly body: unknown;
}

/**
 * Checks a request against the declaration of its route.
 * @param raw the path parameters as they stand in the path
 * @param readBody undefined where the route takes no body
 * @throws ApiError not_found for a path parameter; invalid with every fault of the query, the
 * headers and the body
 */
export async function checkRequest(
  route: RouteDeclaration,
  ctx: Context,
  raw: Readonly<Record<string, string>>,
  readBody: ((ctx: Context) => Promise<ReadBody>) | undefined,
  unknown: Unknown,
): Promise<CheckedInput> {
  const params = route.params?.safeParse(mapValues(raw, decode));
  if (params?.success === false) {
    throw new ApiError({ kind: 'not_found', what: route.absent ?? 'such page' });
  }
  const faults: Issue[] = [];
  let status: number | undefined;
  const parse = (part: 'query' | 'header' | 'body', schema: z.ZodType, input: unknown): unknown => {
    const result = schema.safeParse(input);
    if (result.success) return result.data;
    const ofUnknown = (at: readonly PropertyKey[]) =>
      `unknown field. ${known(fieldsAt(schema, at))}`;
    faults.push(...issuesOf(result.error, ofUnknown).map((fault) => ({ ...fault, in: part })));
    return undefined;
  };

  const { given: input, faults: ofQuery } = readQuery(route.query, ctx.querystring, unknown);
  faults.push(...ofQuery);
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
  } else if (unknown === 'refuse' && hasBody(ctx)) {
    faults.push({ path: '', detail: `${route.method} takes no body here`, in: 'body' });
  }

  if (faults.length > 0) {
    const named = faults.slice(0, MOST_FAULTS).map(shorten);
    const more = faults.length - named.length;
    if (more > 0) named.push({ path: '', detail: `and ${more} more` });
    throw new ApiError({ kind: 'invalid', faults: named, ...(status && { status }) });
  }
  return { params: params?.data, query, headers, body };
}

/** Sorts the parameters of a query by name. An array is for a parameter that may be repeated. */
function readQuery(
  schema: z.ZodObject | undefined,
  querystring: string,
  unknown: Unknown,
): { given: Record<string, string | string[] | undefined>; faults: Issue[] } {
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
  return { given: input, faults };
}

function known(names: readonly string[]): string {
  return names.length === 0 ? 'None is known here' : `Known here: ${names.join(', ')}`;
}

/** The names of the fields of an object within a schema; none where it is no object. */
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

/** What a schema takes, without defaults and transforms. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return unwrap(schema.unwrap());
  }
  return schema instanceof z.ZodPipe ? unwrap(schema.in) : schema;
}

function shorten(fault: Issue): Issue {
  return fault.path.length <= LONGEST_NAME
    ? fault
    : { ...fault, path: `${fault.path.slice(0, LONGEST_NAME)}…` };
}

function mapValues(
  record: Readonly<Record<string, string>>,
  change: (value: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

/** A segment that is not valid percent-encoding stands for itself. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
