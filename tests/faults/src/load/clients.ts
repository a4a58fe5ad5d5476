import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment, Random } from '@ephemera/test-support';
import type { Expectations, Promised } from './expectations.ts';

/** The fields of an instance in the control API that the test clients read. */
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

/** How long a client repeats a request that no proxy has answered, ms. */
const TIMEOUT_MS = 60_000;
/** How long a client waits for one response before it tries the other proxy, ms. */
const VISIT_TIMEOUT_MS = 20_000;

/** Sends a request to the proxies in turn until one answers. Returns undefined if none does. */
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
      // 5xx is temporary: the client repeats the request.
      if (answer.status < 500) return { status: answer.status, body: await answer.json() };
    } catch {
      // The proxy exited, before or after it handled the request.
    }
    await sleep(100);
  }
  return undefined;
}

/** Creates an instance, records the response, and returns the id. */
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
    promisedUntil: made.status.state === 'ready' ? Date.parse(made.expiresAt) : undefined,
    killAskedAt: undefined,
  };
  expectations.created(promise);
  return made.id;
}

/** Renews a lease and records the deadline of the response. */
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

/** Whether an instance has ended or is unknown. False if no proxy knows. */
export async function hasEnded(ports: ClientPorts, id: string): Promise<boolean> {
  const answer = await send(ports, 'GET', `/v1/instances/${id}`);
  if (answer?.status !== 200) return answer?.status === 404;
  const { state } = (answer.body as Resource).status;
  return state === 'gone' || state === 'failed';
}

/** Requests an instance and checks which instance responds. */
export async function visit(
  { site, expectations, random }: ClientPorts,
  id: string,
): Promise<void> {
  const url = site.publicUrls[random(site.publicUrls.length)] ?? '';
  try {
    // The proxy holds a request for an instance that is starting, so a short timeout ends it.
    const signal = AbortSignal.timeout(2_000);
    const answer = await fetch(`${url}/demo/${id}/id`, { signal });
    const text = await answer.text();
    if (answer.status !== 200) {
      expectations.refuse(`visit ${answer.status}`);
      return;
    }
    expectations.answers++;
    if (text !== id)
      expectations.recordViolation(
        'no answer from another instance',
        `${id} got a response from ${text}`,
      );
  } catch {
    expectations.refuse('visit cut');
  }
}
