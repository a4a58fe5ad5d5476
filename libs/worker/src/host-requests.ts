import { pause, resume } from '@ephemera/lifecycle';
import type { HostRequest, HostReply, SuspendPorts } from '@ephemera/lifecycle';
import { pageOf, readLines } from './docker/container-log.ts';
import type { DockerClient } from './docker/docker-client.ts';
import { findContainer } from './docker/namespace-containers.ts';
import { readUsage } from './docker/read-usage.ts';

export interface HostRequestPorts extends SuspendPorts {
  readonly docker: DockerClient;
  readonly namespace: string;
  readonly host: string;
}

/** Executes a proxy's request on one container of this host. */
export async function handleHostRequest(
  ports: HostRequestPorts,
  request: HostRequest,
): Promise<HostReply<unknown>> {
  const container = await findContainer(ports.docker, ports, request.id);
  if (!container) return { kind: 'absent' };
  switch (request.op) {
    case 'logs': {
      const lines = await readLines(container, request);
      return lines ? done(pageOf(lines)) : { kind: 'absent' };
    }
    case 'stats': {
      const usage = await readUsage(container);
      return usage ? done(usage) : { kind: 'absent' };
    }
    case 'pause':
      await pause(ports, request.id);
      return done(null);
    case 'resume':
      await resume(ports, request.id);
      return done(null);
  }
}

function done(value: unknown): HostReply<unknown> {
  return { kind: 'done', value };
}
