import { connect } from 'node:net';

/** Whether somebody listens at a port of 127.0.0.1. */
export async function reaches(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(port, '127.0.0.1', () => resolve(true));
  probe.on('error', () => resolve(false));
  const reached = await promise;
  probe.destroy();
  return reached;
}
