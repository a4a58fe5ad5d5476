import type { HostRequest } from '@ephemera/lifecycle';
import { handleHostRequest } from '../host-requests.ts';
import type { HostRequestPorts } from '../host-requests.ts';
import type { HostCall } from './admit-request.ts';
import type { HostOperation } from './host-interface.ts';

/** The operations that a worker offers to proxies, by name. */
export function hostOperations(ports: HostRequestPorts): ReadonlyMap<string, HostOperation> {
  return new Map([
    ['logs', answering(ports, 'logs')],
    ['stats', answering(ports, 'stats')],
    ['pause', answering(ports, 'pause')],
    ['resume', answering(ports, 'resume')],
  ]);
}

/** Answers with a `HostReply` as JSON. The parameters of the request are in its query, as JSON. */
function answering(ports: HostRequestPorts, op: HostRequest['op']): HostOperation {
  return {
    async answer(call, _req, res) {
      const reply = await handleHostRequest(ports, requestOf(call, op));
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(reply));
    },
  };
}

function requestOf({ id, generation, query }: HostCall, op: HostRequest['op']): HostRequest {
  const input = JSON.parse(query.get('request') ?? '{}') as Partial<HostRequest>;
  return { ...input, op, id, generation };
}
