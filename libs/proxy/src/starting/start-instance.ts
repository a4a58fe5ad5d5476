import { randomBytes } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import {
  ApiError,
  usesTokenPlaceholder,
  checkTimeout,
  isGuarded,
  nameReference,
  newId,
  makeToken,
  requestedEnv,
  requestedImage,
} from '@ephemera/domain';
import type { Instance, InstanceDraft, Template } from '@ephemera/domain';
import { acquireInstance, poolSpecFor } from '@ephemera/lifecycle';
import type { AcquirePorts, AcquireResult, CreationContext, Intake } from '@ephemera/lifecycle';
import type { SigningKeys, TemplateSet } from '@ephemera/config';
import { currentContext, inSpan } from '@ephemera/process';
import type { Tracing } from '@ephemera/process';
import type { AccessToken, AccessTokenSeed } from '../access/access-token.ts';
import { deriveAccessToken, makeAccessToken, repeatAccessToken } from '../access/access-token.ts';

export interface Starter extends AcquirePorts {
  readonly intake: AcquirePorts['intake'] & Pick<Intake, 'redeemed'>;
  readonly templates: TemplateSet;
  /** The access token of a creation with an idempotency key is derived from them. */
  readonly keys: SigningKeys;
  /** Returns the public URL of an id. */
  readonly urlOf: (id: string) => string;
  /** Undefined where no traces are recorded. */
  readonly tracing?: Tracing | undefined;
}

const EXHAUSTED = {
  link: { kind: 'link_refused', reason: 'used' },
  work: { kind: 'work_used' },
} as const;

const CRASHING =
  'Its instances have crashed several times in a row, so visits do not start it any more.';

export interface Started {
  readonly kind: Exclude<
    AcquireResult['kind'],
    'full' | 'exhausted' | 'reused' | 'foreign' | 'unmatched' | 'crashing'
  >;
  readonly instance: Instance;
  /**
   * The access token of a guarded instance. It is not stored, so it must be returned now. A repetition
   * has it if there were signing keys at the creation.
   */
  readonly accessToken?: string | undefined;
  /** An instance that was starting for the same name. The caller ends it. */
  readonly superseded?: string | undefined;
}

/**
 * Creates an instance, or claims a warm one. A running container accepts no new environment, so a
 * request with `env` or a name always creates a new one: its URL is part of the container. So does one
 * with another image than that of the template.
 * @throws ApiError unknown_template; invalid for a timeout out of bounds, a refused variable or image; full; key_reused;
 * link_refused, work_used; forbidden, precondition_failed, gone for a name; store_unavailable if Redis may lose the instance
 */
export async function startInstance(
  starter: Starter,
  request: CreateRequest,
  context: CreationContext,
): Promise<Started> {
  const options = { kind: 'internal', parent: currentContext() } as const;
  return inSpan(starter.tracing, 'create instance', options, async (span) => {
    const started = await createOrClaim(starter, request, context);
    const { id, template } = started.instance;
    span?.setAttributes({
      'ephemera.instance.id': id,
      'ephemera.template': template.name,
      'ephemera.creation.outcome': started.kind,
    });
    return started;
  });
}

async function createOrClaim(
  starter: Starter,
  request: CreateRequest,
  context: CreationContext,
): Promise<Started> {
  const configured = chosenTemplate(starter.templates, request.template);
  const template = withRequestedImage(configured, request.image, starter.templates);
  const id = newId(randomBytes);
  const env = chosenEnv(request.env, template);
  const { metadata = {} } = request;
  const timeout = chosenTimeout(request.timeout, template);
  const token = usesTokenPlaceholder(template) ? makeToken(randomBytes) : undefined;
  const idempotency = context.idempotency && {
    ...context.idempotency,
    salt: randomBytes(16).toString('base64url'),
  };
  const access = isGuarded(template) ? newAccessToken(starter.keys, idempotency) : undefined;
  const draft = {
    id,
    template,
    timeout,
    url: starter.urlOf(context.name ? nameReference(context.name.name) : id),
    path: request.path,
    token,
    accessHash: access?.hash,
    env,
    metadata,
  };
  const mayBeWarm =
    Object.keys(env).length === 0 && context.name === undefined && template === configured;
  const spec = mayBeWarm ? poolSpecFor(template, starter.urlOf('{id}')) : undefined;
  const acquired = await acquireInstance(
    starter,
    draft,
    { ...context, idempotency },
    spec?.fingerprint,
  );
  switch (acquired.kind) {
    case 'full':
      throw new ApiError({ kind: 'full', limit: acquired.limit });
    case 'exhausted':
      throw new ApiError(EXHAUSTED[acquired.what]);
    case 'reused':
      throw new ApiError({ kind: 'key_reused' });
    case 'foreign':
      throw new ApiError({ kind: 'forbidden', needs: 'admin' });
    case 'unmatched':
      throw new ApiError({ kind: 'precondition_failed', generation: acquired.generation });
    case 'crashing': {
      const { id, reason } = acquired;
      throw new ApiError({ kind: 'gone', id, reason, message: CRASHING });
    }
    case 'repeated': {
      const { instance, salt } = acquired;
      if (instance) {
        const accessToken = repeatedToken(starter.keys, instance, context.idempotency?.key, salt);
        return { kind: 'repeated', instance, accessToken };
      }
      throw new ApiError({ kind: 'not_found', what: 'instance for this idempotency key any more' });
    }
    case 'created':
    case 'queued':
    case 'claimed':
      return { ...acquired, accessToken: access?.token };
  }
}

function newAccessToken(keys: SigningKeys, seed: AccessTokenSeed | undefined): AccessToken {
  return seed && keys.hasKeys ? deriveAccessToken(keys, seed) : makeAccessToken();
}

function repeatedToken(
  keys: SigningKeys,
  { accessHash }: Instance,
  key: string | undefined,
  salt: string | undefined,
): string | undefined {
  if (accessHash === undefined || key === undefined || salt === undefined) return undefined;
  return repeatAccessToken(keys, { key, salt }, accessHash);
}

/**
 * Returns the named template, or the default.
 * @param mayList whether the client may learn the names of templates
 * @throws ApiError unknown_template
 */
export function chosenTemplate(
  { defaultTemplate, templates }: TemplateSet,
  name: string | undefined,
  mayList = true,
): Template {
  const template = name === undefined ? defaultTemplate : templates.get(name);
  if (template) return template;
  const known = mayList ? [...templates.keys()] : [];
  throw new ApiError({ kind: 'unknown_template', name: name ?? '', known });
}

/** @throws ApiError invalid, with the patterns that are allowed */
function withRequestedImage(
  template: Template,
  image: string | undefined,
  { policy }: Pick<TemplateSet, 'policy'>,
): Template {
  if (image === undefined || image === template.image) return template;
  const checked = requestedImage(image, template, policy);
  if ('image' in checked) return { ...template, image, isImageNamed: true };
  throw new ApiError({ kind: 'invalid', faults: checked.faults });
}

function chosenEnv(env: CreateRequest['env'] = {}, template: Template): InstanceDraft['env'] {
  const checked = requestedEnv(env, template);
  if ('env' in checked) return checked.env;
  throw new ApiError({ kind: 'invalid', faults: checked.faults });
}

function chosenTimeout(
  seconds: number | undefined,
  { timeout, maxTimeout }: { timeout: number; maxTimeout: number },
): number {
  if (seconds === undefined) return timeout;
  const checked = checkTimeout(seconds, maxTimeout);
  if (checked.ok) return checked.timeout;
  const faults = [{ path: 'timeout', detail: checked.detail }];
  throw new ApiError({ kind: 'invalid', faults });
}
