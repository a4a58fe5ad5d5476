import { createHmac, randomBytes } from 'node:crypto';
import type { Principal } from '@ephemera/domain';
import type { Identified, TokenSet } from '@ephemera/http';
import { equalSecrets } from './equal-secrets.ts';

/** How long a session lasts, milliseconds. */
export const SESSION = 12 * 3_600_000;

/** How many sessions that were ended early are remembered individually. */
const ENDED = 10_000;

/** Stateless sessions: each is a signed expiry. Only early ends are stored. */
export interface Sessions {
  /** Returns the cookie value of a new session. */
  create(who: Pick<Identified, 'name' | 'fingerprint'>): string;
  /**
   * Returns the principal of a session; undefined if it is invalid or its token is no longer valid.
   */
  principal(value: string | undefined): Principal | undefined;
  /** Ends a session early, including all copies of its cookie. */
  end(value: string): void;
}

/** @param key signs sessions; not a token hash, because those are in the configuration */
export function createSessions(
  key: string,
  tokens: Pick<TokenSet, 'named'>,
  now: () => number,
): Sessions {
  const sign = (text: string) =>
    createHmac('sha256', key).update(`dashboard session ${text}`).digest('base64url');
  /** Sessions that were ended early, by id, with their expiry. */
  let ended = new Map<string, number>();
  /** All sessions that expire by then have ended. */
  let endedAll = 0;

  const read = (value: string) => {
    const [expires = '', name = '', fingerprint = '', id = '', signature = ''] = value.split('.');
    const isGenuine = equalSecrets(signature, sign(`${expires}.${name}.${fingerprint}.${id}`));
    const expiresAt = Number(expires);
    if (!isGenuine || expiresAt <= now() || expiresAt <= endedAll || ended.has(id))
      return undefined;
    return { expiresAt, name, fingerprint, id };
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
        ended = new Map([...ended].filter(([, expiresAt]) => expiresAt > now()));
      if (ended.size >= ENDED) {
        // The list is full. End all open sessions, so that no ended one becomes valid again.
        endedAll = now() + SESSION;
        ended = new Map();
      }
      ended.set(session.id, session.expiresAt);
    },
  };
}
