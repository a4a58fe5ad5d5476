import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BootError } from '@ephemera/domain';

/**
 * Listens on an address. With `reusePort`, several processes share the port, and the kernel
 * distributes connections among them.
 * @throws BootError if the address is not available
 */
export async function listen(
  server: Server,
  options: { host: string; port: number; reusePort?: boolean },
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = `${options.host}:${options.port}`;
      const reason =
        error.code === 'EADDRINUSE'
          ? 'the port is in use. Stop the process that uses it, or set another port'
          : (error.code ?? error.message);
      reject(new BootError(`Cannot listen on ${where}: ${reason}.`));
    });
    server.listen(options, resolve);
  });
  return (server.address() as AddressInfo).port;
}
