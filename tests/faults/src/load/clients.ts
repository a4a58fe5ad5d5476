import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment, Random } from '@ephemera/test-support';
import type { Expectations, Promised } from './expectations.ts';

/** What the control API says of an instance, as far as a client of the tests reads it. */
export interface Resource {
  readonly id: string;
  readonly expiresAt: string;
  readonly status: { readonly state: string };
}

export interface ClientPorts {
  readonly site: Deployment;
  readonly expectations: Expectations;
  readonly random: Random;
}

/** How long a client goes on sending a creation that nobody has answered, ms. */
const TIMEOUT_MS = 60_000;
/** How long one answer may take before the client takes its replica for dead, ms. */
const VISIT_TIMEOUT_MS = 20_000;

/** Sends a request to one replica after the other until one answers; undefined where none did. */
export async function send(
  { site, random }: ClientPorts,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown } | undefined> {
  const end = Date.now() + TIMEOUT_MS;
  for (let replica = random(2); Date.now() < end; replica++) {
    try {
      const chosen = replica % site.adminUrls.length;
      const timeout = sleep(VISIT_TIMEOUT_MS, undefined, { ref: false }).then(() => {
        throw new Error('no answer');
      });
      const asked = site.api(method, path, body, headers, chosen);
      const answer = await Promise.race([asked, timeout]);
      // 5xx says: not now. A client that wants its instance asks again.
      if (answer.status < 500) return { status: answer.status, body: await answer.json() };
    } catch {
      // The replica has died, before or after it did what it was asked for.
    }
    await sleep(100);
  }
  return undefined;
}

/** Creates an instance and notes what it was told; gives its id. */
export async function create(
  ports: ClientPorts,
  template: string,
  timeout: number,
): Promise<string | undefined> {
  const { expectations } = ports;
  const key = randomUUID();
  expectations.sentKeys.add(key);
  const wanted = { template, timeout, metadata: { key } };
  const answer = await send(ports, 'POST', '/v1/instances', wanted, { 'idempotency-key': key });
  if (answer?.status !== 201 && answer?.status !== 202) {
    expectations.refuse(`create ${answer?.status ?? 'unanswered'}`);
    return undefined;
  }
  const made = answer.body as Resource;
  const promise: Promised = {
    id: made.id,
    key,
    template,
    born: Date.now(),
    toldUntil: made.status.state === 'ready' ? Date.parse(made.expiresAt) : undefined,
    killAskedAt: undefined,
  };
  expectations.created(promise);
  return made.id;
}

/** Renews a lease by some seconds and notes the deadline that it was told. */
export async function renew(ports: ClientPorts, id: string, timeout: number): Promise<void> {
  const answer = await send(ports, 'POST', `/v1/instances/${id}/renew`, { timeout });
  if (answer?.status === 200) {
    ports.expectations.renewed(id, Date.parse((answer.body as Resource).expiresAt));
  } else {
    ports.expectations.refuse(`renew ${answer?.status ?? 'unanswered'}`);
  }
}

export async function kill(ports: ClientPorts, id: string): Promise<void> {
  ports.expectations.killAsked(id);
  await send(ports, 'DELETE', `/v1/instances/${id}`);
}

/** Visits an instance, and looks at who answers. */
export async function visit(
  { site, expectations, random }: ClientPorts,
  id: string,
): Promise<void> {
  const url = site.publicUrls[random(site.publicUrls.length)] ?? '';
  try {
    // One that still starts is held; the visitor has no patience.
    const signal = AbortSignal.timeout(2_000);
    const answer = await fetch(`${url}/demo/${id}/id`, { signal });
    const text = await answer.text();
    if (answer.status !== 200) {
      expectations.refuse(`visit ${answer.status}`);
      return;
    }
    expectations.answers++;
    if (text !== id)
      expectations.tell('no answer from another instance', `${id} was answered by ${text}`);
  } catch {
    expectations.refuse('visit cut');
  }
}
