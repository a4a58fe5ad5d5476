import { isIP } from 'node:net';
import type { Issue } from '@ephemera/domain';
import { z } from 'zod';
import { ConfigError } from './environment.ts';

/** Address of the admin port, the dashboard and a worker's health port. Loopback by default. */
export const adminHost = z
  .string()
  .default('127.0.0.1')
  .describe(
    'Address that the admin port, the dashboard and the health port of a worker bind to. On another address than loopback, proxy and dashboard refuse a weak `EPHEMERA_ADMIN_TOKEN`.',
  );

/** Shorter tokens can be guessed by brute force. */
const MIN_LENGTH = 24;
const MIN_DISTINCT = 8;
const WORDS = /password|passwort|changeme|change-me|secret|admin|ephemera|example|12345|qwerty/i;

/**
 * Refuses a guessable token on an address other than loopback, where other machines could guess it,
 * and a port that two interfaces share.
 * @throws ConfigError
 */
export function checkAdminInterface(adminInterface: {
  /** The addresses of interfaces that accept the token, by variable. */
  readonly binds: Readonly<Record<string, string>>;
  readonly token: string | undefined;
  /** The ports of the app, by variable. All must differ. */
  readonly ports?: Readonly<Record<string, number>>;
}): void {
  const faults: Issue[] = [];
  const weakness =
    adminInterface.token === undefined ? undefined : weaknessOf(adminInterface.token);
  const open = Object.entries(adminInterface.binds).find(([, address]) => !isLoopback(address));
  if (weakness !== undefined && open) {
    const where = `${open[0]} ${open[1]} is not loopback`;
    const detail = `${weakness}, and ${where}; create one with: openssl rand -hex 24`;
    faults.push({ path: 'EPHEMERA_ADMIN_TOKEN', detail });
  }
  const ports = Object.entries(adminInterface.ports ?? {});
  for (const [i, [name, port]] of ports.entries()) {
    const twin = ports.slice(0, i).find(([, other]) => other === port);
    if (twin) faults.push({ path: name, detail: `${port} is already the port of ${twin[0]}` });
  }
  if (faults.length > 0) throw new ConfigError('The environment', faults);
}

/** Why a token may be guessable. Undefined if it looks random. */
export function weaknessOf(token: string): string | undefined {
  if (token.length < MIN_LENGTH) return `must have at least ${MIN_LENGTH} characters`;
  if (new Set(token).size < MIN_DISTINCT) {
    return `must have at least ${MIN_DISTINCT} different characters`;
  }
  const word = WORDS.exec(token)?.[0];
  return word === undefined ? undefined : `must not contain "${word}"`;
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
