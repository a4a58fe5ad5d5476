import type { RenewRequest } from '@ephemera/contract';
import { ApiError, checkTimeout } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { renew } from '@ephemera/lifecycle';
import type { RenewPorts, Renewal } from '@ephemera/lifecycle';

/**
 * Renews the lease of an instance for the control API.
 * @throws ApiError invalid, not_found, not_ready, gone
 */
export async function renewInstance(
  ports: RenewPorts,
  instance: Instance,
  request: RenewRequest,
): Promise<Instance> {
  const { id } = instance;
  const renewed = await renew(ports, id, await renewalOf(ports, instance, request));
  switch (renewed.kind) {
    case 'renewed':
      return renewed.instance;
    case 'starting':
      throw new ApiError({ kind: 'not_ready', id });
    case 'absent':
      throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    case 'ended': {
      const { reason = 'ttl', message } = renewed.instance;
      throw new ApiError({ kind: 'gone', id, reason, message });
    }
  }
}

async function renewalOf(
  { now }: RenewPorts,
  { template, maxExpiresAt }: Instance,
  { timeout, expiresAt, shorten = false }: RenewRequest,
): Promise<Renewal> {
  if (expiresAt === undefined) {
    const checked = checkTimeout(timeout ?? 0, template.maxTimeout);
    if (!checked.ok) throw invalid('timeout', checked.detail);
    return { timeout: checked.timeout, shorten };
  }
  const wanted = Date.parse(expiresAt);
  if (wanted <= (await now())) throw invalid('expiresAt', 'must be in the future');
  if (wanted > maxExpiresAt) {
    throw invalid('expiresAt', `must not be after ${new Date(maxExpiresAt).toISOString()}`);
  }
  return { expiresAt: wanted, shorten };
}

function invalid(path: string, detail: string): ApiError {
  return new ApiError({ kind: 'invalid', faults: [{ path, detail }] });
}
