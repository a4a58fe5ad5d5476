import { parse as parseQuery } from 'node:querystring';
import bodyParser from '@koa/bodyparser';
import type { BodyDeclaration } from '@ephemera/contract';
import type { Issue } from '@ephemera/domain';
import type { Context } from 'koa';

/** Errors of the parser have a status and a type. */
interface ParserError {
  readonly status?: number;
  readonly type?: string;
}

/** A parsed body, or why it could not be read. */
export type ReadBody =
  | { readonly ok: true; readonly body: unknown }
  | { readonly ok: false; readonly status: 400 | 413 | 415; readonly fault: Issue };

const TYPES = {
  json: { type: 'json', media: 'application/json', form: 'JSON' },
  form: { type: 'urlencoded', media: 'application/x-www-form-urlencoded', form: 'form' },
} as const;

/** Whether a request has a body, by its framing (RFC 9112 section 6.3). */
export function hasBody({ req }: Pick<Context, 'req'>): boolean {
  const { 'transfer-encoding': coding, 'content-length': length } = req.headers;
  return coding !== undefined || Number(length ?? 0) > 0;
}

/** Escapes of JSON. The group matches half a surrogate pair. */
const ESCAPES =
  /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(\\u[dD][89a-fA-F])|\\./gs;

/** Whether a string of the JSON text has a code unit that UTF-8 cannot express (RFC 8259 section 8.2). */
function hasLoneSurrogate(json: string): boolean {
  for (const [, half] of json.matchAll(ESCAPES)) if (half !== undefined) return true;
  return false;
}

/** Fields by name. One that occurs several times is a list. */
function parseForm(text: string): unknown {
  return { ...parseQuery(text, '&', '=', { maxKeys: 0 }) };
}

/** Returns a reader for bodies as declared. An absent body is an empty object. */
export function bodyReader({
  type,
  limit,
}: BodyDeclaration & { readonly type: keyof typeof TYPES }): (ctx: Context) => Promise<ReadBody> {
  const { type: accepted, media, form } = TYPES[type];
  const parse = bodyParser({
    enableTypes: [type],
    jsonLimit: limit,
    formLimit: limit,
    // The schema refuses a body that is not an object.
    jsonStrict: false,
  });
  const refuse = (status: 400 | 413 | 415, detail: string): ReadBody => ({
    ok: false,
    status,
    fault: { path: '', detail, in: 'body' },
  });

  return async (ctx) => {
    if (!hasBody(ctx)) return { ok: true, body: {} };
    // The parser would ignore a body of another type, and the schema would then apply defaults.
    if (ctx.request.is(accepted) === false) return refuse(415, `the body must be ${media}`);
    try {
      await parse(ctx, () => Promise.resolve());
    } catch (error) {
      const { status = 500, type: cause } = error as ParserError;
      if (status < 400 || status >= 500) throw error;
      if (status === 413) return refuse(413, `the body must have at most ${limit} bytes`);
      if (status === 415) {
        return refuse(
          415,
          'the Content-Encoding must be gzip, deflate or br, and the charset UTF-8',
        );
      }
      const reason = cause === undefined ? '' : ` (${cause})`;
      return refuse(400, `the body is not valid ${form}${reason}`);
    }
    const { rawBody } = ctx.request;
    if (!rawBody) return { ok: true, body: {} };
    if (rawBody.includes('\uFFFD')) {
      const own = type === 'json' ? '\\ufffd' : '%EF%BF%BD';
      return refuse(400, `the body must be UTF-8, with ${own} for the character U+FFFD`);
    }
    if (type === 'json' && hasLoneSurrogate(rawBody)) {
      return refuse(400, 'the body has an escape of half a surrogate pair, which is no character');
    }
    // The parser makes an object of a field that occurs more than 20 times.
    const body = type === 'form' ? parseForm(rawBody) : ctx.request.body;
    return { ok: true, body };
  };
}
