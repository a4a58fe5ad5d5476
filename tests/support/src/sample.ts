import { randomBytes } from 'node:crypto';
import { newId } from '@ephemera/domain';
import type { InstanceDraft, Template } from '@ephemera/domain';

/** A template with every field, for tests that depend on only a few. */
export function sampleTemplate(input: Partial<Template> = {}): Template {
  return {
    name: 'demo',
    image: 'ephemera/demo',
    port: 8080,
    ports: { web: 8080 },
    timeout: 60_000,
    maxTimeout: 3_600_000,
    idleTimeout: undefined,
    activity: 'connections',
    ready: { kind: 'tcp', within: 30_000 },
    stopGrace: 0,
    limits: { memory: 64 * 1024 ** 2, cpus: 0.5, pids: 64 },
    command: undefined,
    env: {},
    user: '65534',
    readOnly: true,
    tmpfs: { '/tmp': { size: 8 * 1024 ** 2, exec: false } },
    capAdd: [],
    egress: false,
    stripPrefix: true,
    host: 'pass',
    whenFull: 'refuse',
    maxQueued: 10,
    queueTimeout: 60_000,
    pool: 0,
    poolMaxAge: 60_000,
    schedule: [],
    ...input,
  };
}

export function sampleDraft(input: Partial<InstanceDraft> = {}): InstanceDraft {
  const id = input.id ?? newId(randomBytes);
  const template = input.template ?? sampleTemplate();
  return {
    id,
    template,
    timeout: template.timeout,
    url: `http://127.0.0.1:8080/demo/${id}/`,
    env: {},
    metadata: {},
    ...input,
  };
}
