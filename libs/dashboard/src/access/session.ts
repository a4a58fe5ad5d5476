import { createHmac, randomBytes } from 'node:crypto';
import type { Principal } from '@ephemera/domain';
import type { Identified, TokenSet } from '@ephemera/http';
import { equalSecrets } from './equal-secrets.ts';

/** How long a session lasts, milliseconds. */
export const SESSION = 12 * 3_600_000;

/** How many ended sessions are remembered one by one. */
const ENDED = 10_000;

/** Sessions that no store has to remember: each is its own end, signed. Only early ends are kept. */
export interface Sessions {
  /** The value of a new session's cookie. */
  create(who: Pick<Identified, 'name' | 'fingerprint'>): string;
  /** Whose session it is; undefined where it is none, or the token that began it counts no more. */
  principal(value: string | undefined): Principal | undefined;
  /** Ends a session before its time, in whatever copies there are of it. */
  end(value: string): void;
}

/** @param key signs; no hash of a token, since those stand in the configuration */
export function createSessions(
  key: string,
  tokens: Pick<TokenSet, 'named'>,
  now: () => number,
): Sessions {
  const sign = (text: string) =>
    createHmac('sha256', key).update(`dashboard session ${text}`).digest('base64url');
  /** Those that were ended, by their ids, with when they would have ended anyhow. */
  let ended = new Map<string, number>();
  /** All that would end by then have been ended. */
  let endedAll = 0;

  const read = (value: string) => {
    const [expires = '', name = '', fingerprint = '', id = '', signature = ''] = value.split('.');
    const isGenuine = equalSecrets(signature, sign(`${expires}.${name}.${fingerprint}.${id}`));
    const killRequests = Number(expires);
    if (!isGenuine || killRequests <= now() || killRequests <= endedAll || ended.has(id))
      return undefined;
    return { killRequests, name, fingerprint, id };
  };

  return {
    create({ name, fingerprint }) {
      const id = randomBytes(12).toString('base64url');
      const text = `${now() + SESSION}.${name}.${fingerprint}.${id}`;
      return `${text}.${sign(text)}`;
    },
    principal(value = '') {
      const session = read(value);
      return session && tokens.named(session.name, session.fingerprint);
    },
    end(value) {
      const session = read(value);
      if (!session) return;
      if (ended.size >= ENDED)
        ended = new Map([...ended].filter(([, killRequests]) => killRequests > now()));
      if (ended.size >= ENDED) {
        // None comes back to life for want of room: those that are open have to be begun anew.
        endedAll = now() + SESSION;
        ended = new Map();
      }
      ended.set(session.id, session.killRequests);
    },
  };
}
