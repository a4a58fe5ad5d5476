import { unwatchFile, watchFile } from 'node:fs';
import { ConfigError } from '@ephemera/config';
import type { TemplateSet } from '@ephemera/config';
import type { Logger } from '@ephemera/process';
import { createSigningKeys, parseKeys, readKeyFile, type SigningKeys } from './signing-keys.ts';

const POLL_INTERVAL_MS = 1_000;

/** @throws ConfigError where a template asks for work and nothing can sign a challenge */
export function requireKeys({ templates }: TemplateSet, keys: SigningKeys): void {
  const hostRpc = [...templates.values()].find(({ proofOfWork = 0 }) => proofOfWork > 0);
  if (!hostRpc || keys.hasKeys) return;
  const detail = `must be set, because the template ${hostRpc.name} has proofOfWork`;
  throw new ConfigError('The environment', [{ path: 'EPHEMERA_SIGNING_KEYS', detail }]);
}

/**
 * The signing keys of the environment, or of a file, which is read again when it changes.
 * @throws ConfigError where they cannot be used at the start
 */
export function watchKeys(
  { keys, file }: { readonly keys: string | undefined; readonly file: string | undefined },
  logger: Logger,
): SigningKeys & { close(): void } {
  if (file === undefined) {
    const input = parseKeys(keys ?? '', 'EPHEMERA_SIGNING_KEYS');
    return Object.assign(
      createSigningKeys(() => input),
      { close: () => undefined },
    );
  }
  let current = readKeyFile(file);
  const reload = () => {
    try {
      current = readKeyFile(file);
      logger.info({ keys: current.length }, 'signing keys read again');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error({ faults: error.faults }, 'signing keys not usable, the last ones stay');
    }
  };
  watchFile(file, { interval: POLL_INTERVAL_MS, persistent: false }, reload);
  const signing = createSigningKeys(() => current);
  return {
    get hasKeys() {
      return signing.hasKeys;
    },
    sign: (purpose, text) => signing.sign(purpose, text),
    hasSigned: (purpose, text, signature) => signing.hasSigned(purpose, text, signature),
    close: () => unwatchFile(file, reload),
  };
}
