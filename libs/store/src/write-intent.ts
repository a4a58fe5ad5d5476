import { randomUUID } from 'node:crypto';
import type { EndReason, Instance, InstanceDraft, Limit } from '@ephemera/domain';
import { signStart } from '@ephemera/lifecycle';
import type { CreationContext, StartSigner } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const create = loadScript('create');
const nextGeneration = loadScript('next-generation');

/** What `create.lua` and `claim.lua` take in addition to the draft. */
export interface ScriptContext extends CreationContext {
  /** Whether the instance may be queued. */
  readonly queue?: boolean;
  /** Fingerprint of the pool that the instance is for, and the desired size of that pool. */
  readonly pool?: string;
  readonly desired?: number;
}

export type IntentReply =
  | ['created' | 'queued', number, number, number, number, string?]
  | ['taken']
  | ['stocked']
  | RefusalReply;

export type RefusalReply =
  | ['full', Limit]
  | ['foreign']
  | ['unmatched', string]
  | ['crashing', string, EndReason]
  | ['exhausted', 'link' | 'work']
  | ['repeated', string, string[], string | null]
  | ['reused']
  | ['withdrawn'];

/**
 * Creates an instance if there is capacity and no limit, grant or idempotency key prevents it. With
 * keys, signs it first.
 */
export async function writeIntent(
  redis: Redis,
  keys: Keys,
  draft: InstanceDraft,
  context: ScriptContext,
  signer?: StartSigner,
): Promise<{ readonly reply: IntentReply; readonly instance: Instance | undefined }> {
  const { id, template, timeout, url, env, metadata } = draft;
  const { instances, generation, pending, events } = keys;
  const signed = signer?.hasKeys === true && (await sign(redis, keys, draft, signer));
  const reply = (await runScript(
    redis,
    create,
    [keys.instance(id), keys.route(id), instances, generation, pending, events],
    [
      id,
      timeout,
      template.ready.within,
      context.pool === undefined ? template.maxTimeout : template.maxTimeout + timeout,
      JSON.stringify(template),
      JSON.stringify(env),
      JSON.stringify(metadata),
      url,
      template.idleTimeout ?? '',
      JSON.stringify({
        attempt: randomUUID(),
        ...context,
        ...signed,
        secret: draft.token,
        accessHash: draft.accessHash,
        path: draft.path,
      }),
    ],
  )) as IntentReply;
  if (reply[0] !== 'created' && reply[0] !== 'queued') return { reply, instance: undefined };
  return { reply, instance: pendingInstance(draft, context, reply) };
}

/** The signature covers the generation, so the store assigns that before it creates the instance. */
async function sign(redis: Redis, keys: Keys, draft: InstanceDraft, signer: StartSigner) {
  const reply = await runScript(redis, nextGeneration, [keys.generation], []);
  const [generation, now] = reply as [number, number];
  return { generation, signature: signStart(signer, draft, generation, now) };
}

function pendingInstance(
  draft: InstanceDraft,
  { pool, quotaOwner, name }: ScriptContext,
  [kind, generation, createdAt, expiresAt, maxExpiresAt]: Extract<
    IntentReply,
    ['created' | 'queued', ...unknown[]]
  >,
): Instance {
  return {
    ...draft,
    generation,
    state: 'pending',
    reason: undefined,
    message: undefined,
    lastTransitionAt: createdAt,
    supersedes: undefined,
    host: undefined,
    address: undefined,
    createdAt,
    startedAt: undefined,
    expiresAt,
    maxExpiresAt,
    ...(quotaOwner !== undefined && { owner: quotaOwner.name }),
    ...(pool !== undefined && { pool }),
    ...(name !== undefined && { name: name.name }),
    ...(kind === 'queued' && { queued: true }),
  };
}
