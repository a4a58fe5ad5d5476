import { ApiError, isDead } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import type { LogPorts } from './follow-log.ts';

/**
 * Pauses or resumes an instance, by a worker of its host; gives it as it then is.
 * @throws ApiError gone, conflict, host_unavailable
 */
export async function suspendInstance(
  { hostRpc, instances }: Omit<LogPorts, 'logArchive'>,
  { id, host }: Instance,
  op: 'pause' | 'resume',
): Promise<Instance> {
  const reply = host === undefined ? undefined : await hostRpc.request(host, { op, id });
  const instance = await instances.get(id);
  if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
  const { state, reason = 'request', message } = instance;
  if (isDead(state) || state === 'draining') {
    throw new ApiError({ kind: 'gone', id, reason, message });
  }
  if (state === (op === 'pause' ? 'paused' : 'ready')) return instance;
  if (host !== undefined && reply?.kind !== 'done') {
    throw new ApiError({ kind: 'host_unavailable' });
  }
  throw new ApiError({ kind: 'conflict', detail: `Not to be done while it is ${state}.` });
}
