import { signHostAddress } from '@ephemera/lifecycle';
import type { HostSigner } from '@ephemera/lifecycle';
import { listen } from '@ephemera/process';
import type { Logger, Shutdown } from '@ephemera/process';
import type { HostAddresses } from '@ephemera/store';
import { makeCertificate } from './certificate.ts';
import { createHostInterface } from './host-interface.ts';
import type { HostInterfaceOptions, HostOperation } from './host-interface.ts';
import { bindAddress } from './listen-address.ts';
import type { HostListen } from './listen-address.ts';

interface StartOptions extends Pick<HostInterfaceOptions, 'now' | 'generationOf'> {
  readonly signer: HostSigner;
  readonly listen: HostListen;
  readonly host: string;
  /** @param fingerprint SHA-256 of the certificate of this worker */
  readonly operations: (fingerprint: string) => ReadonlyMap<string, HostOperation>;
  readonly addresses: HostAddresses;
  readonly logger: Logger;
  readonly shutdown: Shutdown;
}

/**
 * Listens for proxies and registers the address. It is removed at shutdown. Without signing keys there
 * is no listener, because anybody could send requests to it.
 *
 * @returns registers the address again; call it with each heartbeat
 * @throws BootError if the worker cannot listen on the address
 */
export async function startHostInterface(options: StartOptions): Promise<() => Promise<void>> {
  const { signer, host, operations, addresses, logger, shutdown } = options;
  if (!signer.hasKeys) {
    logger.info(
      'EPHEMERA_SIGNING_KEYS is not set; proxies have no connection to this worker, and use Redis instead',
    );
    return () => Promise.resolve();
  }
  const certificate = makeCertificate();
  const { server, close } = createHostInterface({
    ...{ signer, certificate },
    operations: operations(certificate.fingerprint),
    now: options.now,
    generationOf: options.generationOf,
    onError: (error, { id, operation }) =>
      logger.warn({ err: error, id, operation }, 'request of a proxy failed'),
  });
  const bind = bindAddress(options.listen);
  const port = await listen(server, { host: bind, port: options.listen.port });
  shutdown.onShutdown('host interface', close);
  const url = `https://${options.listen.advertise ?? `${bind}:${port}`}`;
  const register = async () => {
    // Signed each time, because the keys may have changed.
    const address = signHostAddress(signer, host, { url, fingerprint: certificate.fingerprint });
    await addresses.register(host, address, options.now());
  };
  await addresses.prune(host, options.now());
  await register();
  // Registered last, so that it is removed before the interface closes.
  shutdown.onShutdown('host address', () => addresses.remove(host, certificate.fingerprint));
  logger.info({ host, url }, 'listening for proxies');
  return register;
}
