import type { Socket } from 'node:net';

/**
 * Ends a socket as soon as its other side has ended, though nobody reads it yet; without that,
 * who has left is noticed only when something is to be sent. What arrives stays to be read.
 *
 * @returns gives the socket back to be read as any other
 */
export function destroyOnEnd(socket: Socket): () => void {
  const look = () => {
    // Reading nothing where there is nothing is what makes `end` come.
    if (socket.readableLength === 0) socket.read();
  };
  const leave = () => socket.destroy();
  socket.on('readable', look).once('end', leave);
  return () => void socket.off('readable', look).off('end', leave);
}
