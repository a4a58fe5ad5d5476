import { randomBytes } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import {
  FailureError,
  asksForToken,
  checkTimeout,
  isGuarded,
  makeId,
  makeToken,
} from '@ephemera/domain';
import type { Instance, Template } from '@ephemera/domain';
import { obtain, wishOf } from '@ephemera/lifecycle';
import type { ObtainPorts, Obtained, Order } from '@ephemera/lifecycle';
import type { TemplateSet } from '@ephemera/config';
import { makeAccessToken } from '../access/access-token.ts';

export interface Starter extends ObtainPorts {
  readonly templates: TemplateSet;
  /** Where visitors reach an id. */
  readonly urlOf: (id: string) => string;
}

const SPENT = {
  link: { kind: 'link_refused', why: 'used' },
  work: { kind: 'work_spent' },
} as const;

export interface Started {
  readonly kind: Exclude<Obtained['kind'], 'full' | 'spent' | 'reused'>;
  readonly instance: Instance;
  /** What opens it, where it is guarded: told now or never. */
  readonly accessToken?: string | undefined;
}

/**
 * Starts an instance as a visitor or a holder of the admin token asked for it, or hands out a warm
 * one. A container that runs takes no environment any more, so whoever gives one gets a new one.
 * @throws FailureError unknown_template; invalid for a timeout out of bounds; full; key_reused;
 * link_refused, work_spent
 */
export async function startInstance(
  starter: Starter,
  request: CreateRequest,
  order: Order,
): Promise<Started> {
  const template = chosenTemplate(starter.templates, request.template);
  const id = makeId(randomBytes);
  const { env = {}, metadata = {} } = request;
  const timeout = chosenTimeout(request.timeout, template);
  const token = asksForToken(template) ? makeToken(randomBytes) : undefined;
  const access = isGuarded(template) ? makeAccessToken() : undefined;
  const draft = {
    id,
    template,
    timeout,
    url: starter.urlOf(id),
    token,
    accessHash: access?.hash,
    env,
    metadata,
  };
  const bare = Object.keys(env).length === 0;
  const wish = bare ? wishOf(template, starter.urlOf('{id}')) : undefined;
  const obtained = await obtain(starter, draft, order, wish?.fingerprint);
  switch (obtained.kind) {
    case 'full':
      throw new FailureError({ kind: 'full', limit: obtained.limit });
    case 'spent':
      throw new FailureError(SPENT[obtained.what]);
    case 'reused':
      throw new FailureError({ kind: 'key_reused' });
    case 'repeated': {
      const { instance } = obtained;
      if (instance) return { kind: 'repeated', instance };
      throw new FailureError({ kind: 'not_found', what: 'instance of this key any more' });
    }
    case 'created':
    case 'queued':
    case 'claimed':
      return { ...obtained, accessToken: access?.token };
  }
}

/** The template of a name, or the default. @throws FailureError unknown_template */
export function chosenTemplate(
  { preset, templates }: TemplateSet,
  name: string | undefined,
): Template {
  const template = name === undefined ? preset : templates.get(name);
  if (template) return template;
  const known = [...templates.keys()];
  throw new FailureError({ kind: 'unknown_template', name: name ?? '', known });
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
