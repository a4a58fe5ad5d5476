import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { adminRoutes } from '@ephemera/contract';
import type { ExecReadQuery, ExecRequestBody, ExecResource } from '@ephemera/contract';
import { ApiError, EXEC_WORKER_LENGTH, allows, isDead, principalKey } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute, TokenSet } from '@ephemera/http';
import { execPermissionOf } from '@ephemera/lifecycle';
import type {
  ExecOutput,
  ExecRefusal,
  ExecRequest,
  ExecResult,
  ExecStatus,
} from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, Rates } from '@ephemera/store';
import type { Context } from 'koa';
import type { HostCall, HostConnections } from '../host-connection/host-connections.ts';
import { countChange } from '../starting/count-request.ts';
import type { Starter } from '../starting/start-instance.ts';
import { abortWhenRevoked } from './authorize.ts';
import { readPreferredWait } from './instances-api.ts';

export interface ExecApi {
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly hostConnections: Pick<HostConnections, 'request'>;
  readonly tokens: Pick<TokenSet, 'named'>;
  /** Aborts when the replica stops, and ends the streams. */
  readonly stopping: AbortSignal;
  readonly starter: Pick<Starter, 'templates'>;
  readonly rates: Rates;
  readonly logger: Logger;
}

/** Time that a worker has for its response, beside what the client waits for; ms. */
const RESPONSE_TIMEOUT_MS = 30_000;

type Encoding = ExecReadQuery['encoding'];

/**
 * `/v1/instances/{id}/exec`: commands in the container of an instance. `requireScope` has checked
 * the token; here the template decides. The worker of the host runs the command and keeps its output.
 */
export function execRoutes(api: ExecApi): BoundRoute[] {
  const { logger } = api;

  const run = route(adminRoutes.runCommand, async (ctx, { params, query, headers, body }) => {
    await countChange(ctx, api.rates, api.starter.templates.quotas, principalKey(principalOf(ctx)));
    const instance = await allowedInstance(api, ctx, params.id);
    const wait = readPreferredWait(headers.prefer ?? '');
    const response = await askWorker(api, ctx, instance, {
      ...operation('exec', { follow: follows(ctx), wait }),
      body: JSON.stringify(requestOf(body)),
    });
    const { id, generation } = instance;
    logger.info({ id, generation, by: principalKey(principalOf(ctx)) }, 'command started');
    await sendCommand(ctx, instance, response, { wait, encoding: query.encoding });
    if (ctx.status === 202) {
      ctx.set('location', `/v1/instances/${id}/exec/${(ctx.body as ExecResource).execId}`);
    }
  });

  const read = route(adminRoutes.readCommand, async (ctx, { params, query, headers }) => {
    const instance = await allowedInstance(api, ctx, params.id);
    const wait = readPreferredWait(headers.prefer ?? '');
    const { stdout, stderr, encoding } = query;
    const call = operation('exec-read', { follow: follows(ctx), wait, stdout, stderr });
    const response = await askWorker(api, ctx, instance, onCommand(params.execId, call));
    await sendCommand(ctx, instance, response, { wait, encoding });
    ctx.status = 200;
  });

  const write = route(adminRoutes.writeCommandInput, async (ctx, { params, body }) => {
    const { dataBase64: data = '', end = false } = body;
    await change(ctx, params, { ...operation('exec-input'), body: JSON.stringify({ data, end }) });
  });

  const kill = route(adminRoutes.killCommand, async (ctx, { params, body }) => {
    await countChange(ctx, api.rates, api.starter.templates.quotas, principalKey(principalOf(ctx)));
    await change(ctx, params, operation('exec-kill', { signal: body.signal ?? 'KILL' }));
  });

  const resize = route(adminRoutes.resizeCommand, async (ctx, { params, body }) => {
    await change(ctx, params, operation('exec-resize', body));
  });

  return [run, read, write, kill, resize];

  /** An operation without a result. */
  async function change(
    ctx: Context,
    { id, execId }: { readonly id: string; readonly execId: string },
    call: Operation,
  ): Promise<void> {
    const instance = await allowedInstance(api, ctx, id);
    const response = await askWorker(api, ctx, instance, onCommand(execId, call));
    await resultOf<null>(instance, response);
    ctx.status = 204;
  }
}

/**
 * The instance, if its template allows commands by this token, and it has not ended.
 * @throws ApiError not_found, gone, conflict, forbidden
 */
export async function allowedInstance(
  api: Pick<ExecApi, 'instances'>,
  ctx: Context,
  id: string,
): Promise<Instance> {
  const instance = await api.instances.get(id);
  if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
  const { template } = instance;
  const permission = execPermissionOf(template);
  if (permission === 'off') throw execRefusal('off', instance);
  if (permission === 'admin' && !allows(principalOf(ctx), 'admin')) {
    throw new ApiError({ kind: 'forbidden', needs: 'admin' });
  }
  if (hasEnded(instance)) throw execRefusal('gone', instance);
  return instance;
}

/**
 * Asks the worker of the host, until the client disconnects or its token is revoked.
 * @throws ApiError gone, host_unavailable
 */
export async function askWorker(
  api: Pick<ExecApi, 'instances' | 'hostConnections' | 'tokens' | 'stopping' | 'logger'>,
  ctx: Context,
  instance: Instance,
  call: Operation,
): Promise<IncomingMessage> {
  const { instances, hostConnections, tokens, stopping, logger } = api;
  const { id, generation, host } = instance;
  if (host === undefined) throw execRefusal('not_ready', instance);
  const wait = Number(call.query?.['wait'] ?? 0);
  const reply = await hostConnections.request({
    ...{ host, id, generation },
    timeoutMs: RESPONSE_TIMEOUT_MS + wait,
    ...call,
    signal: abortWhenRevoked(ctx, tokens, stopping),
  });
  if (reply.kind === 'response' && reply.status === 200) return reply.body;
  if (reply.kind === 'response') reply.body.destroy();
  if (reply.kind === 'gone') {
    const ended = await instances.get(id);
    if (!ended || hasEnded(ended)) throw execRefusal('gone', ended ?? instance);
  }
  const detail = reply.kind === 'response' ? `status ${reply.status}` : reply.detail;
  if (reply.kind !== 'aborted') {
    logger.warn(
      { id, kind: reply.kind, detail },
      'command or file operation not possible: no worker answers',
    );
  }
  throw new ApiError({ kind: 'host_unavailable' });
}

type Operation = Pick<HostCall, 'operation'> &
  Partial<Pick<HostCall, 'query' | 'body' | 'worker' | 'timeoutMs'>>;

/** @param input parameters; `wait` in seconds */
function operation(
  name: string,
  input: Readonly<Record<string, string | number | boolean | undefined>> = {},
): Operation {
  const { wait, follow, ...others } = input;
  const query = Object.entries(others).map(([key, value]) => [key, String(value)]);
  return {
    operation: name,
    query: {
      ...(Object.fromEntries(query) as Record<string, string>),
      ...(wait !== undefined && { wait: String(Number(wait) * 1000) }),
      ...(follow === true && { follow: '1' }),
    },
  };
}

/** For one command. Its worker is asked first; any other can only say that it is lost. */
function onCommand(execId: string, call: Operation): Operation {
  const worker = execId.slice(0, EXEC_WORKER_LENGTH);
  return { ...call, worker, query: { ...call.query, exec: execId } };
}

function hasEnded({ state }: Instance): boolean {
  return isDead(state) || state === 'draining';
}

function follows(ctx: Context): boolean {
  return ctx.accepts('application/json', 'text/event-stream') === 'text/event-stream';
}

function requestOf(body: ExecRequestBody): ExecRequest {
  const { cmd, cwd, env = {}, user, timeout, keepStdin = false, tty = false } = body;
  const stdin = body.stdinBase64 ?? Buffer.from(body.stdin ?? '').toString('base64');
  return {
    ...{ cmd, cwd, env, user, stdin, keepStdin, tty },
    ...(timeout !== undefined && { timeout: timeout * 1000 }),
  };
}

/** Sends the command as JSON, or passes on its events. */
async function sendCommand(
  ctx: Context,
  instance: Instance,
  response: IncomingMessage,
  { wait, encoding }: { readonly wait: number | undefined; readonly encoding: Encoding },
): Promise<void> {
  if (response.headers['content-type'] === 'text/event-stream') {
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    ctx.body = response;
    return;
  }
  const status = await resultOf<ExecStatus>(instance, response);
  if (wait !== undefined) ctx.set('preference-applied', `wait=${wait}`);
  ctx.status = status.state === 'running' ? 202 : 200;
  const output = ({ offset, data, total }: ExecOutput) => ({
    ...{ offset, total },
    data: encoding === 'base64' ? data : Buffer.from(data, 'base64').toString(),
  });
  const resource: ExecResource = {
    ...status,
    stdout: output(status.stdout),
    stderr: output(status.stderr),
  };
  ctx.body = resource;
}

/** @throws ApiError why the worker refused it */
async function resultOf<T>(instance: Instance, response: IncomingMessage): Promise<T> {
  const result = JSON.parse(await text(response)) as ExecResult<T>;
  if (result.kind === 'done') return result.value;
  throw execRefusal(result.why, instance, result.detail);
}

const CONFLICTS: Partial<Record<ExecRefusal, string>> = {
  not_ready: 'The instance is not ready. Commands run in a ready instance only.',
  paused: 'The instance is paused. Resume it first.',
  ended: 'The command has ended, or its standard input is closed.',
  no_tty: 'The command has no terminal. Start it with `tty: true`.',
};

export function execRefusal(why: ExecRefusal, instance: Instance, detail?: string): ApiError {
  const { id, template, reason = 'request', message } = instance;
  switch (why) {
    case 'gone':
      return new ApiError({ kind: 'gone', id, reason, message });
    case 'full':
      return new ApiError({ kind: 'full', limit: 'commands' });
    case 'busy':
      return new ApiError({ kind: 'full', limit: 'input' });
    case 'stopping':
      return new ApiError({ kind: 'host_unavailable' });
    case 'unknown':
      return new ApiError({ kind: 'not_found', what: 'command of this id in this instance' });
    case 'invalid':
      return new ApiError({
        kind: 'invalid',
        faults: [{ path: '', detail: detail ?? 'is invalid' }],
      });
    case 'off':
      return new ApiError({
        kind: 'conflict',
        detail: `The template ${template.name} does not allow commands. The operator sets \`exec\` in it; instances that were started before keep their template.`,
      });
    default:
      return new ApiError({ kind: 'conflict', detail: CONFLICTS[why] ?? detail ?? why });
  }
}
