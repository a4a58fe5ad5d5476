import { z } from 'zod';
import { positiveDuration } from './config-values.ts';

/** Template fields for what visitors see and do besides the use of an instance. */
export const visitorFields = {
  gallery: z
    .boolean()
    .prefault(false)
    .describe(
      'Whether `/{prefix}/` lists the template, with its `title`, its `description` and a button that starts it. Visitors then learn its name. Only with `create: open`.',
    ),
  visitor: z
    .strictObject({
      renew: positiveDuration.optional(),
      end: z.boolean().prefault(false),
      expiresHeader: z.boolean().prefault(false),
    })
    .optional()
    .describe(
      'What visitors may do with an instance that they started, at `/{prefix}/-/{id}`. `renew`: move its deadline to this long from now, at most to `maxTimeout`. `end: true`: end it. `expiresHeader: true`: every response of an instance has the field `Ephemera-Expires-At`. With `access: public`, `renew` and `end` require `EPHEMERA_SIGNING_KEYS`. Default: nothing.',
    ),
  onVisit: z
    .enum(['gone', 'start'])
    .optional()
    .describe(
      'What a visit to a stable name does once its instance has ended. `gone`: it gets 410. `start`: it starts another instance as the last `PUT` of the name asked, for the token that owns the name, and waits for it. Only with `access: public` and without `{token}`. See docs/guides/control-api.md. Default: `gone`.',
    ),
};

interface VisitorInput {
  readonly create: string;
  readonly gallery: boolean;
}

/** The message for a template in the gallery that visitors cannot start; undefined if they can. */
export function galleryIssue({ create, gallery }: VisitorInput): string | undefined {
  if (!gallery || create === 'open') return undefined;
  return `needs create: open; visitors cannot start a template with create: ${create}`;
}

/** The message for a template whose instances no visitor could open after a start by a visit. */
export function onVisitIssue(
  { access, onVisit }: { readonly access: string; readonly onVisit?: string | undefined },
  hasToken: boolean,
): string | undefined {
  if (onVisit !== 'start') return undefined;
  if (access !== 'public') {
    return `start needs access: public; nobody learns the access token of an instance that a visit starts`;
  }
  return hasToken ? 'start cannot be used with {token}; nobody would learn it' : undefined;
}
