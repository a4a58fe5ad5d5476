import { randomBytes } from 'node:crypto';
import { tokenSchema } from '@ephemera/config';
import { BootError } from '@ephemera/domain';
import { hashToken } from '@ephemera/http';

import { readArguments } from '../read-arguments.ts';

/** What a token begins with, so that whoever finds one knows what it is. */
const MARK = 'eph_';

/** `token NAME --scope create`: makes a token, and the line of the configuration that lets it in. */
export function token(args: string[]): string {
  const { values, positionals } = readArguments({
    args,
    allowPositionals: true,
    options: { scope: { type: 'string', multiple: true } },
  });
  const [name, ...more] = positionals;
  if (name === undefined || more.length > 0 || !/^[a-z][a-z0-9-]{0,40}$/.test(name)) {
    throw new BootError('Give the token a name of lowercase letters: token NAME --scope create');
  }
  const made = `${MARK}${randomBytes(32).toString('base64url')}`;
  const scopes = (values.scope ?? []).flatMap((text) => text.split(','));
  const entry = tokenSchema.safeParse({ hash: hashToken(made), scopes });
  if (!entry.success) {
    throw new BootError('Say what it may, by --scope read, --scope create or --scope admin.');
  }
  return `${made}

This is the only time that it is shown. What follows goes below "tokens:" in ephemera.yml:

  ${name}: { hash: '${hashToken(made)}', scopes: [${entry.data.scopes.join(', ')}] }`;
}
