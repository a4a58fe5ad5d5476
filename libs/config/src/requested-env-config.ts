import { matchesLoaderVariablesOnly } from '@ephemera/domain';
import { z } from 'zod';

const pattern = z
  .string()
  .regex(
    /^(?:[A-Za-z_][A-Za-z0-9_]*\*?|\*)$/,
    'must be the name of a variable, or a pattern with * at its end, such as APP_*',
  )
  .refine((text) => !text.startsWith('EPHEMERA_'), 'names with the prefix EPHEMERA_ are reserved')
  .refine(
    (text) => !matchesLoaderVariablesOnly(text),
    'matches only variables that make programs load other code; list each by its exact name',
  );

/** Template fields that decide which variables a creation may set. */
export const requestedEnvFields = {
  envAllow: z
    .array(pattern)
    .prefault([])
    .describe(
      'Variables that a request of the control API may set in `env`: names, and patterns with `*` at their end, such as `[GREETING, APP_*]`. A pattern never matches a variable that makes programs load other code or trust other servers, such as `LD_PRELOAD`, `NODE_OPTIONS`, `PYTHONPATH`, `BASH_ENV`, `PATH` or `HTTP_PROXY`; list it by its exact name. Default: none.',
    ),
  envOverride: z
    .boolean()
    .prefault(false)
    .describe(
      'Whether a request may replace values of `env`. `false`: the value of the template is used.',
    ),
};
