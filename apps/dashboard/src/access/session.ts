import { createHmac } from 'node:crypto';
import type { Principal } from '@ephemera/domain';
import type { Identified, TokenSet } from '@ephemera/runtime';
import { equalSecrets } from './equal-secrets.ts';

/** How long a session lasts, milliseconds. */
export const SESSION = 12 * 3_600_000;

/** Sessions that no store has to remember: each is its own end, signed. */
export interface Sessions {
  /** The value of a new session's cookie. */
  begin(who: Pick<Identified, 'name' | 'fingerprint'>): string;
  /** Whose session it is; undefined where it is none, or the token that began it counts no more. */
  holder(value: string | undefined): Principal | undefined;
}

/** @param key signs; no hash of a token, since those stand in the configuration */
export function createSessions(
  key: string,
  tokens: Pick<TokenSet, 'named'>,
  now: () => number,
): Sessions {
  const sign = (text: string) =>
    createHmac('sha256', key).update(`dashboard session ${text}`).digest('base64url');
  return {
    begin({ name, fingerprint }) {
      const text = `${now() + SESSION}.${name}.${fingerprint}`;
      return `${text}.${sign(text)}`;
    },
    holder(value = '') {
      const [expires = '', name = '', fingerprint = '', signature = ''] = value.split('.');
      const isGenuine = equalSecrets(signature, sign(`${expires}.${name}.${fingerprint}`));
      if (!isGenuine || Number(expires) <= now()) return undefined;
      return tokens.named(name, fingerprint);
    },
  };
}
