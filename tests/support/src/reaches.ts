import { connect } from 'node:net';

/** Returns whether a server listens on a port of 127.0.0.1. */
export async function reaches(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(port, '127.0.0.1', () => resolve(true));
  probe.on('error', () => resolve(false));
  const reached = await promise;
  probe.destroy();
  return reached;
}
