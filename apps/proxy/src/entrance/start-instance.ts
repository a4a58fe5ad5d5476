import { randomBytes } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import { FailureError, checkTimeout, makeId } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { create } from '@ephemera/lifecycle';
import type { CreatePorts } from '@ephemera/lifecycle';
import type { TemplateSet } from '@ephemera/runtime';

export interface Starter extends CreatePorts {
  readonly templates: TemplateSet;
  /** Where visitors reach an id. */
  readonly urlOf: (id: string) => string;
}

/**
 * Starts an instance as a visitor or a holder of the admin token asked for it.
 * @throws FailureError unknown_template, or invalid for a timeout out of bounds
 */
export async function startInstance(starter: Starter, request: CreateRequest): Promise<Instance> {
  const { preset, templates } = starter.templates;
  const template = request.template === undefined ? preset : templates.get(request.template);
  if (!template) {
    const known = [...templates.keys()];
    throw new FailureError({ kind: 'unknown_template', name: request.template ?? '', known });
  }
  const id = makeId(randomBytes);
  return create(starter, {
    id,
    template,
    timeout: chosenTimeout(request.timeout, template),
    url: starter.urlOf(id),
    env: request.env ?? {},
    metadata: request.metadata ?? {},
  });
}

function chosenTimeout(
  seconds: number | undefined,
  { timeout, maxTimeout }: { timeout: number; maxTimeout: number },
): number {
  if (seconds === undefined) return timeout;
  const checked = checkTimeout(seconds, maxTimeout);
  if (checked.ok) return checked.timeout;
  const faults = [{ path: 'timeout', detail: checked.detail }];
  throw new FailureError({ kind: 'invalid', faults });
}
