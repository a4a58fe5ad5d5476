import bodyParser from '@koa/bodyparser';
import type { BodyDeclaration } from '@ephemera/contract';
import type { Issue } from '@ephemera/domain';
import type { Context } from 'koa';

/** What the parser throws carries a status, and a name of what is wrong. */
interface ParserError {
  readonly status?: number;
  readonly type?: string;
}

/** A body that was read, or why it was not. */
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

/** A reader of bodies as declared. An absent body is an empty object. */
export function bodyReader({ type, limit }: BodyDeclaration): (ctx: Context) => Promise<ReadBody> {
  const { type: accepted, media, form } = TYPES[type];
  const parse = bodyParser({
    enableTypes: [type],
    jsonLimit: limit,
    formLimit: limit,
    // A body that is no object is for the schema to refuse.
    jsonStrict: false,
  });
  const refuse = (status: 400 | 413 | 415, detail: string): ReadBody => ({
    ok: false,
    status,
    fault: { path: '', detail, in: 'body' },
  });

  return async (ctx) => {
    if (!hasBody(ctx)) return { ok: true, body: {} };
    // A body of another type would be taken for none, and its fields for their defaults.
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
    return { ok: true, body: ctx.request.rawBody ? ctx.request.body : {} };
  };
}
