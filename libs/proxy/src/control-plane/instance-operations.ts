import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminRoutes, toResource } from '@ephemera/contract';
import { ApiError, principalKey } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute, TokenSet } from '@ephemera/http';
import { followLog, logText, readUsageOf, suspendInstance } from '@ephemera/lifecycle';
import type { LogPorts } from '@ephemera/lifecycle';
import type { Rates } from '@ephemera/store';
import { countChange } from '../starting/count-request.ts';
import type { Starter } from '../starting/start-instance.ts';
import { abortWhenRevoked } from './authorize.ts';

export interface InstanceOperations extends LogPorts {
  readonly tokens: Pick<TokenSet, 'named'>;
  /** Aborts when the replica stops. It ends followed logs. */
  readonly stopping: AbortSignal;
  readonly starter: Pick<Starter, 'templates'>;
  readonly rates: Rates;
}

const wait = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);

/**
 * `/v1/instances/{id}/logs`, `/stats`, `/pause` and `/resume`: operations that a worker of the
 * instance's host performs.
 */
export function instanceOperationRoutes(ports: InstanceOperations): BoundRoute[] {
  const readLog = route(adminRoutes.readLog, async (ctx, { params, query }) => {
    const { id } = await known(params.id);
    // A log that is not followed is sent in full, even while the replica stops.
    const stopping = query.follow ? ports.stopping : undefined;
    const signal = abortWhenRevoked(ctx, ports.tokens, stopping);
    const pages = followLog(ports, id, query, signal, wait);
    // Read the first page before the response starts, so that an error can still set the status.
    const first = await pages.next();
    ctx.status = 200;
    ctx.type = 'text/plain; charset=utf-8';
    ctx.set('x-accel-buffering', 'no');
    ctx.flushHeaders();
    ctx.body = Readable.from(logText(first, pages, query.timestamps), { objectMode: false });
  });

  const readUsage = route(adminRoutes.readUsage, async (ctx, { params }) => {
    ctx.body = await readUsageOf(ports, await known(params.id));
  });

  const suspensions = (['pause', 'resume'] as const).map((op) =>
    route(adminRoutes[`${op}Instance`], async (ctx, { params }) => {
      const { quotas } = ports.starter.templates;
      await countChange(ctx, ports.rates, quotas, principalKey(principalOf(ctx)));
      ctx.body = toResource(await suspendInstance(ports, await known(params.id), op));
    }),
  );

  return [readLog, readUsage, ...suspensions];

  async function known(id: string): Promise<Instance> {
    const found = await ports.instances.get(id);
    if (!found) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    return found;
  }
}
