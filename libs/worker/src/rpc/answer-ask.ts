import { pause, resume } from '@ephemera/lifecycle';
import type { Ask, Reply, SuspendPorts } from '@ephemera/lifecycle';
import type { DockerClient } from '../docker/connect-docker.ts';
import { findContainer } from '../docker/find-container.ts';
import { pageOf, readLines } from '../docker/read-log.ts';
import { readUsage } from '../docker/read-usage.ts';

export interface AnswerPorts extends SuspendPorts {
  readonly docker: DockerClient;
  readonly namespace: string;
  readonly host: string;
}

/** Answers what a proxy asks of one container of this host. */
export async function answerAsk(ports: AnswerPorts, ask: Ask): Promise<Reply<unknown>> {
  const container = await findContainer(ports.docker, ports, ask.id);
  if (!container) return { kind: 'absent' };
  switch (ask.op) {
    case 'logs': {
      const lines = await readLines(container, ask);
      return lines ? done(pageOf(lines)) : { kind: 'absent' };
    }
    case 'stats': {
      const usage = await readUsage(container);
      return usage ? done(usage) : { kind: 'absent' };
    }
    case 'pause':
      await pause(ports, ask.id);
      return done(null);
    case 'resume':
      await resume(ports, ask.id);
      return done(null);
  }
}

function done(value: unknown): Reply<unknown> {
  return { kind: 'done', value };
}
