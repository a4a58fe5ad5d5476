import { parseDuration } from '@ephemera/domain';
import { z } from 'zod';

const MAX_EMBED_ORIGINS = 20;

/** An origin as browsers serialize it: `https`, or `http` on this machine. */
const embedOrigin = z.string().transform((text, context) => {
  const url = URL.parse(text);
  const isPlain = /^https?:\/\/[^/?#@\\]+\/?$/i.test(text);
  const isLocal = /^(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
  const isAllowed =
    url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal.test(url.hostname));
  // Other characters would have a meaning in a Content-Security-Policy.
  const isName = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])$/.test(url?.hostname ?? '');
  if (url !== null && isPlain && isAllowed && isName) return url.origin;
  context.addIssue({
    code: 'custom',
    message:
      'must be an origin such as https://host.example, without a path or a pattern; http is allowed on localhost only',
  });
  return z.NEVER;
});

/** Template fields for access: who may start an instance, and who can reach it. */
export const accessFields = {
  create: z
    .enum(['open', 'token', 'link'])
    .prefault('open')
    .describe(
      'Who may start an instance at `/{prefix}/new`. `open`: every visitor. `token`: clients that send a token with the scope `create`. `link`: those clients, and visitors with a signed link.',
    ),
  proofOfWork: z
    .int({ error: 'must be a whole number of bits' })
    .min(0, 'must be at least 0')
    .max(28, 'must be at most 28')
    .prefault(0)
    .describe(
      'Difficulty of the proof of work for visitors without a token or a link, in leading zero bits of a SHA-256 hash. 16 takes a browser a moment; each further bit doubles the time. 0 disables it. Requires `EPHEMERA_SIGNING_KEYS`.',
    ),
  access: z
    .enum(['public', 'token', 'owner'])
    .prefault('public')
    .describe(
      'Who may open an instance. `public`: everyone who knows its id. `token`: clients with its access token, which the creation response contains. `owner`: only the browser or the API client that started it.',
    ),
  exec: z
    .enum(['off', 'admin', 'owner'])
    .prefault('off')
    .describe(
      'Who may run commands in an instance, through the control API. `off`: nobody. `admin`: tokens with the scope `admin`. `owner`: those, and the token with the scopes `create` and `exec` that started the instance. Requires `EPHEMERA_SIGNING_KEYS`. See docs/guides/run-code.md.',
    ),
  embed: z
    .array(embedOrigin)
    .min(1, 'must have at least one origin')
    .max(MAX_EMBED_ORIGINS, `must have at most ${MAX_EMBED_ORIGINS} origins`)
    .optional()
    .describe(
      'Origins of sites that may show an instance in a frame, such as `[https://host.example]`. Others may not: responses get `frame-ancestors`. With `access: token` or `owner`, the access cookie also works in such a frame (`SameSite=None; Secure; Partitioned`). See docs/SECURITY.md. Default: no such cookie, and the application decides who may frame it.',
    ),
};

/** `points` events within `seconds`. */
export interface Rate {
  readonly points: number;
  readonly seconds: number;
}

/** Parses a rate such as `10/1m`. */
export const rateText = z
  .string({ error: 'must be a rate such as 10/1m' })
  .transform((text, context): Rate => {
    const [, points = '', time = ''] = /^(\d{1,6})\/(\S+)$/.exec(text) ?? [];
    const ms = parseDuration(time);
    if (ms !== undefined && ms >= 1000 && Number(points) > 0) {
      return { points: Number(points), seconds: Math.round(ms / 1000) };
    }
    context.addIssue({ code: 'custom', message: `"${text}" is not a rate such as 10/1m` });
    return z.NEVER;
  });
