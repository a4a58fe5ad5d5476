import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { RouteDeclaration } from '@ephemera/contract';
import { z } from 'zod';

/** A request to a route, and the expected answer of its guard. */
export interface GuardCase {
  readonly name: string;
  readonly method: string;
  /** Includes the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /**
   * The status of the refusal; undefined: the same status as `plain`, because unknown parameters
   * are ignored.
   */
  readonly status: number | undefined;
  /** Names that the detail must contain. */
  readonly names: readonly string[];
  /** The same request without its error. */
  readonly plain: { readonly method: string; readonly path: string };
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const MEDIA = { json: 'application/json', form: 'application/x-www-form-urlencoded' } as const;

/** An instance id, the id of a command, a text that is too short for either. */
const PARAMETERS = ['a'.repeat(26), `${'0'.repeat(26)}${'a'.repeat(26)}`, 'a'];

/** The first of `PARAMETERS` that the schema of the path parameter allows. */
function parameterOf(params: z.ZodObject | undefined, name: string): string {
  const schema = fieldsOf(params).find(([field]) => field === name)?.[1];
  const valid = PARAMETERS.find((text) => schema?.safeParse(text).success !== false);
  if (valid === undefined) throw new Error(`none of the example values is a valid ${name}`);
  return valid;
}

/** Texts and values that a schema may refuse. The first one that it refuses is sent. */
const TEXTS = ['~', '-1', '!=', '', 'x'.repeat(300)];
const VALUES: readonly unknown[] = [true, { '~': [] }, '~', -1, 0.5, []];

/**
 * Returns the requests that the guard of every route must refuse or ignore: an unknown or repeated
 * query parameter, a parameter, header or field of another type, an unknown field, a body of
 * another type or an undeclared one, another method. They are derived from the declarations alone.
 * @param routes all routes that are mounted on one port
 * @param unknown how that port treats unknown parameters
 */
export function guardCases(
  routes: readonly RouteDeclaration[],
  unknown: 'refuse' | 'ignore',
): GuardCase[] {
  return routes.flatMap((route) => {
    const { method, query, headers, params, body, refusesHead = false } = route;
    const path = route.path.replace(/\{(\w+)\}/g, (_, name: string) => parameterOf(params, name));
    const plain = { method, path };
    const base = { method, path, headers: {}, body: '', status: 400, names: [], plain } as const;
    const refusal = unknown === 'refuse' ? 400 : undefined;
    const cases: GuardCase[] = [];
    const add = (name: string, more: Partial<GuardCase>) =>
      cases.push({ ...base, ...more, name: `${method} ${route.path}: ${name}` });

    add('an unknown query parameter', {
      path: `${path}?utm_source=x`,
      status: refusal,
      names: ['utm_source', ...Object.keys(query?.shape ?? {})],
    });
    const wrong: string[] = [];
    for (const [name, schema] of fieldsOf(query)) {
      const isList = schema.safeParse(['~', '~']).error?.issues[0]?.code !== 'invalid_type';
      if (!isList) {
        add(`query parameter ${name} twice`, {
          path: `${path}?${name}=0&${name}=0`,
          names: [name],
        });
      }
      const value = TEXTS.find((item) => !schema.safeParse(isList ? [item] : item).success);
      if (value === undefined) continue;
      const pair = `${name}=${encodeURIComponent(value)}`;
      wrong.push(pair);
      add(`query parameter ${name} of another type`, { path: `${path}?${pair}`, names: [name] });
    }
    if (wrong.length > 1) {
      const names = wrong.map((pair) => pair.slice(0, pair.indexOf('=')));
      add('all query parameters wrong at once', { path: `${path}?${wrong.join('&')}`, names });
    }
    for (const [name, schema] of fieldsOf(headers)) {
      const value = TEXTS.find((item) => item !== '' && !schema.safeParse(item).success);
      if (value === undefined) continue;
      add(`header ${name} of another form`, { headers: { [name]: value }, names: [name] });
    }
    for (const [name, schema] of fieldsOf(params)) {
      if (schema.safeParse('~').success) continue;
      const other = route.path
        .replace(`{${name}}`, '~')
        .replace(/\{(\w+)\}/g, (_, rest: string) => parameterOf(params, rest));
      add(`path parameter ${name} of another form`, { path: other, status: 404 });
    }

    if (body && body.type !== 'bytes') {
      const type = { 'content-type': MEDIA[body.type] };
      const write = (fields: Record<string, unknown>) =>
        body.type === 'json' ? JSON.stringify(fields) : formOf(fields);
      const shape = fieldsOf(body.schema instanceof z.ZodObject ? body.schema : undefined);
      const send = (name: string, fields: Record<string, unknown>, names: string[]) =>
        add(name, { headers: type, body: write(fields), names });
      send('an unknown field', { utm_source: 'x' }, ['utm_source', ...shape.map(([name]) => name)]);
      const fields: Record<string, unknown> = {};
      for (const [name, schema] of shape) {
        fields[name] = VALUES.find((item) => !schema.safeParse(item).success);
        send(`field ${name} of another type`, { [name]: fields[name] }, [name]);
      }
      send('all fields wrong at once', fields, Object.keys(fields));
      const other = { 'content-type': 'text/plain' };
      add('a body of another type', { headers: other, body: 'x', status: 415, names: ['body'] });
      const long = { headers: type, body: write({ x: 'x'.repeat(body.limit) }) };
      add('a body that is too large', { ...long, status: 413, names: ['body'] });
      if (body.type === 'json') {
        add('broken JSON', { headers: type, body: '{"x":', names: ['body'] });
        add('an array', { headers: type, body: '[]' });
      }
    } else if (!body) {
      const type = { 'content-type': 'application/json' };
      add('a body where none is declared', {
        headers: type,
        body: '{"a":1}',
        status: refusal,
        names: ['body'],
      });
    }

    const answered = routes
      .filter((other) => other.path === route.path)
      .map((other) => other.method);
    for (const other of METHODS.filter((item) => !answered.includes(item))) {
      add(`method ${other}`, { method: other, status: 405, names: answered });
    }
    if (refusesHead) add('method HEAD', { method: 'HEAD', status: 405 });
    return cases;
  });
}

function fieldsOf(schema: z.ZodObject | undefined): [string, z.ZodType][] {
  const shape: Readonly<Record<string, z.ZodType>> = schema?.shape ?? {};
  return Object.entries(shape);
}

/** qs, which parses forms, reads `a[]=x` as an array. */
function formOf(fields: Record<string, unknown>): string {
  return Object.entries(fields)
    .map(([name, value]) => (typeof value === 'string' ? `${name}=${value}` : `${name}[]=x`))
    .join('&');
}

/** The response to a case. */
export interface GuardAnswer {
  readonly status: number;
  readonly type: string;
  readonly allow: string;
  /** The detail of a problem+json body. */
  readonly detail: string;
}

/** Sends a request unchanged. `fetch` would refuse a GET with a body. */
export function sendCase(
  url: string,
  {
    method,
    path,
    headers = {},
    body = '',
  }: Pick<GuardCase, 'method' | 'path'> & Partial<GuardCase>,
  more: Readonly<Record<string, string>> = {},
): Promise<GuardAnswer> {
  return new Promise((resolve, reject) => {
    const length: Record<string, string> =
      body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const sent = request(`${url}${path}`, {
      method,
      agent: false,
      headers: { accept: 'application/json', ...length, ...more, ...headers },
    });
    sent.on('error', reject);
    sent.on('response', (answer) => {
      const { 'content-type': type = '', allow = '' } = answer.headers;
      const status = answer.statusCode ?? 0;
      // A stream does not end, so its body is not read.
      if (type === 'text/event-stream') {
        sent.destroy();
        resolve({ status, type, allow, detail: '' });
        return;
      }
      text(answer)
        .then((body) => {
          const isProblem = type === 'application/problem+json' && body !== '';
          const { detail } = (isProblem ? JSON.parse(body) : { detail: '' }) as { detail: string };
          resolve({ status, type, allow, detail });
        })
        .catch(reject);
    });
    sent.end(body);
  });
}
