import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ReadyRoute } from '@ephemera/domain';

/** Hears of the use of instances that end for being idle. */
export interface Activity {
  /** A request or a tunnel began; it counts as use until it is closed. */
  opened(id: string): void;
  closed(id: string): void;
  /** Something that counts as use happened now. */
  used(id: string): void;
}

/** Tells of what a request is as use, by what the template counts; after its body began to flow. */
export function watchRequest(
  activity: Activity,
  id: string,
  route: ReadyRoute,
  req: IncomingMessage,
  res: ServerResponse,
): void {
  switch (route.activity) {
    case undefined:
      return;
    case 'connections':
      activity.opened(id);
      res.once('close', () => activity.closed(id));
      return;
    case 'client-bytes':
      activity.used(id);
      if (!req.complete) req.on('data', () => activity.used(id));
      return;
    case 'requests':
      res.once('finish', () => {
        if (res.statusCode < 300) activity.used(id);
      });
  }
}

/** Tells of what a tunnel is as use; once its socket flows. */
export function watchTunnel(
  activity: Activity,
  id: string,
  route: ReadyRoute,
  socket: Socket,
): void {
  switch (route.activity) {
    case undefined:
      return;
    case 'connections':
      activity.opened(id);
      socket.once('close', () => activity.closed(id));
      return;
    case 'client-bytes':
      activity.used(id);
      socket.on('data', () => activity.used(id));
      return;
    case 'requests':
      activity.used(id);
  }
}
