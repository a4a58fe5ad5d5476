import { createHmac } from 'node:crypto';
import { equalSecrets } from './equal-secrets.ts';

/** How long a session lasts, milliseconds. */
export const SESSION = 12 * 3_600_000;

/** Sessions that no store has to remember: each is its own end, signed with the admin token. */
export interface Sessions {
  /** The value of a new session's cookie. */
  begin(): string;
  holds(value: string | undefined): boolean;
}

export function createSessions(token: string, now: () => number): Sessions {
  const sign = (expires: string) =>
    createHmac('sha256', token).update(`dashboard session until ${expires}`).digest('base64url');
  return {
    begin() {
      const expires = String(now() + SESSION);
      return `${expires}.${sign(expires)}`;
    },
    holds(value = '') {
      const [expires = '', signature = ''] = value.split('.');
      return equalSecrets(signature, sign(expires)) && Number(expires) > now();
    },
  };
}
