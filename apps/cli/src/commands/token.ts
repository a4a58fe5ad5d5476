import { randomBytes } from 'node:crypto';

import { ADMIN_TOKEN_NAME } from '@ephemera/config';
import { SCOPES, type Scope } from '@ephemera/domain';
import { hashToken } from '@ephemera/http';
import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';

/** Every token begins with this prefix, so that secret scanners recognise it. */
const PREFIX = 'eph_';

interface TokenFlags extends OutputFlags {
  readonly scope: readonly Scope[];
}

export const token = buildCommand({
  func(this: CliContext, flags: TokenFlags, name: string) {
    const print = createPrinter(this, flags);
    const value = `${PREFIX}${randomBytes(32).toString('base64url')}`;
    const hash = hashToken(value);
    const scopes = [...new Set(flags.scope)];
    print({
      text: `${value}

The token is shown only this time. Add this line below "tokens:" in ephemera.yml:

  ${name}: { hash: '${hash}', scopes: [${scopes.join(', ')}] }`,
      json: { token: value, name, entry: { hash, scopes } },
      quiet: value,
    });
  },
  parameters: {
    flags: {
      scope: {
        kind: 'enum',
        values: SCOPES,
        variadic: ',',
        brief: 'What the token permits',
      },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: {
      kind: 'tuple',
      parameters: [{ brief: 'Name in ephemera.yml', placeholder: 'name', parse: parseName }],
    },
  },
  docs: {
    brief: 'Create a token for the control API',
    fullDescription: `Create a token for the control API. Print it with the line for ephemera.yml that admits it.
Needs no connection.`,
  },
});

function parseName(text: string): string {
  if (/^[a-z][a-z0-9-]{0,40}$/.test(text) && text !== ADMIN_TOKEN_NAME) return text;
  throw new Error(
    `The name "${text}" is invalid. Use lowercase letters, digits and "-"; the name "${ADMIN_TOKEN_NAME}" is reserved.`,
  );
}
