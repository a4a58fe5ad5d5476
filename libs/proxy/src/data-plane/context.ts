import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { RouteCache } from '@ephemera/store';
import type { UploadScheduler } from './upload-scheduler.ts';
import type { UpstreamPools } from './upstream/upstream-pools.ts';
import type { Activity } from './watch-use.ts';

/** What every request of a data path shares; durations are milliseconds. */
export interface DataPathContext {
  readonly routes: Pick<RouteCache, 'peek' | 'find' | 'waitFor' | 'confirm' | 'onDrop'>;
  /** First segment of the path form. */
  readonly prefix: string;
  /** Whether visitors come over TLS, where nobody says otherwise. */
  readonly secure: boolean;
  /** The port in visitors' addresses of the host form, as in `:8080`; empty where there is none. */
  readonly domainPort: string;
  readonly pools: UpstreamPools;
  readonly uploadScheduler: UploadScheduler;
  /** How long a request waits for an instance that is starting. */
  readonly startWait: number;
  /** How long an instance may be silent before its answer begins. */
  readonly responseTimeout: number;
  /** How long a client may leave what it was sent untaken. */
  readonly clientTimeout: number;
  /** Answers in the product's own name. */
  readonly sendFailure: (req: IncomingMessage, res: ServerResponse, failure: Failure) => void;
  /** Answers in place of holding a request for an instance that is starting; true where it did. */
  readonly waitingPage:
    ((req: IncomingMessage, res: ServerResponse, id: string) => boolean) | undefined;
  /** Hears of instances that do not answer as they should. */
  readonly logger: Pick<Logger, 'warn'>;
  /** Hears of the use of instances that end for being idle. */
  readonly activity: Activity | undefined;
  /** Set once the data path drains: connections end with their next answer. */
  draining: boolean;
  /** Requests that have been taken and whose answer has not left. */
  inFlight: number;
}
