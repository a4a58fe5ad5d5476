import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { MAX_FILE_BYTES, adminRoutes } from '@ephemera/contract';
import type { FileListResource } from '@ephemera/contract';
import { ApiError, principalKey } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { FILE_CHANGE_MS, FILE_HEADERS, FILE_STALL_MS } from '@ephemera/lifecycle';
import type { ExecRefusal, FileList, FileRefusal, FileResult } from '@ephemera/lifecycle';
import type { Context } from 'koa';
import type { HostCall } from '../host-connection/host-connections.ts';
import { countChange } from '../starting/count-request.ts';
import { allowedInstance, askWorker, execRefusal } from './exec-api.ts';
import type { ExecApi } from './exec-api.ts';
import { extendRequestTime } from './request-time.ts';

/** What the worker needs beyond its limits to end an operation and to say so, ms. */
const MARGIN_MS = 30_000;
/** Time that a worker has for its response, ms. */
const RESPONSE_TIMEOUT_MS = FILE_STALL_MS + MARGIN_MS;
const CHANGE_TIMEOUT_MS = FILE_CHANGE_MS + MARGIN_MS;
/** An upload is answered at its end. The admin port ends requests that take longer. */
export const UPLOAD_TIMEOUT_MS = 3_600_000;

const WITHOUT_TRANSFER = { timeoutMs: CHANGE_TIMEOUT_MS } as const;

/**
 * `/v1/instances/{id}/files`: files in the container of an instance. Who may run commands in it may
 * use its files: `requireScope` has checked the token, and the template decides here. Bytes pass the
 * connection to the worker only, with back-pressure.
 */
export function fileRoutes(api: ExecApi): BoundRoute[] {
  const read = route(adminRoutes.readFile, async (ctx, { params, query, headers }) => {
    const { path } = query;
    // A client that reads nothing holds what is already here.
    ctx.res.setTimeout(FILE_STALL_MS + MARGIN_MS, () => ctx.res.destroy());
    if (query.list !== undefined) {
      const instance = await allowedInstance(api, ctx, params.id);
      const response = await ask(ctx, instance, 'file-list', { path });
      const { entries, isTruncated } = await resultOf<FileList>(instance, response);
      const items = entries.map(({ modifiedAt, ...entry }) => ({
        ...entry,
        modifiedAt: dateOf(modifiedAt).toISOString(),
      }));
      ctx.body = { items, isTruncated } satisfies FileListResource;
      return;
    }
    const instance = await allowedInstance(api, ctx, params.id);
    const range = rangeOf(headers.range);
    // RFC 9110 section 13.1.5. A date, or a weak tag, is never the tag of the file.
    const ifRange = ctx.get('if-range');
    const ifTag = /^"([\d-]+)"$/.exec(ifRange)?.[1] ?? (ifRange === '' ? '' : 'none');
    const response = await ask(ctx, instance, 'file-read', { path, ...range, ifTag });
    if (response.headers['content-type'] === 'application/json') {
      await resultOf(instance, response);
      throw new Error('a worker sent no file');
    }
    const etag = `"${String(response.headers[FILE_HEADERS.tag])}"`;
    const isRange = range !== undefined && (ifRange === '' || ifRange === etag);
    sendFile(ctx, response, isRange, headers['if-none-match']);
  });

  const write = route(adminRoutes.writeFile, async (ctx, { params, query, headers }) => {
    const limit = await begin(ctx, params.id);
    const { path, mode = '' } = query;
    if (Number(ctx.req.headers['content-length'] ?? 0) > limit.bytes) throw tooLarge(limit.bytes);
    // The worker ends an upload that has stalled.
    extendRequestTime(ctx.req);
    const response = await ask(
      ctx,
      limit.instance,
      'file-write',
      {
        ...{ path, mode, limit: String(limit.bytes) },
        match: (headers['if-match'] ?? '').replaceAll('"', ''),
        new: headers['if-none-match'] === '*' ? 'new' : '',
      },
      { body: ctx.req, timeoutMs: UPLOAD_TIMEOUT_MS },
    );
    ctx.set('etag', `"${await resultOf<string>(limit.instance, response)}"`);
    ctx.status = 204;
  });

  const remove = route(adminRoutes.removeFile, async (ctx, { params, query }) => {
    const { instance } = await begin(ctx, params.id);
    const recursive = query.recursive === undefined ? '' : 'recursive';
    const response = await ask(
      ctx,
      instance,
      'file-remove',
      { path: query.path, recursive },
      WITHOUT_TRANSFER,
    );
    await resultOf<null>(instance, response);
    ctx.status = 204;
  });

  const move = route(adminRoutes.moveFile, async (ctx, { params, body }) => {
    const { instance } = await begin(ctx, params.id);
    const { from, to, replace = false } = body;
    const input = { path: from, to, replace: replace ? 'replace' : '' };
    await resultOf<null>(instance, await ask(ctx, instance, 'file-move', input, WITHOUT_TRANSFER));
    ctx.status = 204;
  });

  return [read, write, remove, move];

  /** Counts a change. Returns the instance, and the largest file that it may get. */
  async function begin(ctx: Context, id: string) {
    const key = principalKey(principalOf(ctx));
    await countChange(ctx, api.rates, api.starter.templates.quotas, key);
    const instance = await allowedInstance(api, ctx, id);
    const { readOnly, limits } = instance.template;
    // What is not on the disk of the host counts as memory.
    return { instance, bytes: readOnly ? limits.memory : MAX_FILE_BYTES };
  }

  function ask(
    ctx: Context,
    instance: Instance,
    operation: string,
    query: Readonly<Record<string, string>>,
    more: Partial<HostCall> = {},
  ): Promise<IncomingMessage> {
    return askWorker(api, ctx, instance, {
      timeoutMs: RESPONSE_TIMEOUT_MS,
      ...{ operation, query },
      ...more,
    });
  }
}

/** The first and the last second of the years 1 to 9999, epoch ms. */
const MIN_TIME = Date.parse('0001-01-01T00:00:00Z');
const MAX_TIME = Date.UTC(9999, 11, 31, 23, 59, 59);

/** A program may set any time of a file. One that has no four-digit year is given as the nearest such time. */
function dateOf(time: number): Date {
  return new Date(Math.min(Math.max(time, MIN_TIME), MAX_TIME));
}

/** One range of bytes (RFC 9110 section 14.1.2). Undefined: all bytes, also for what is no such range. */
function rangeOf(header: string | undefined): { first: string; last: string } | undefined {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first !== '' && last !== '' && Number(first) > Number(last)) return undefined;
  // The shell would read a leading zero as octal.
  const plain = (digits: string) => (digits === '' ? '' : String(Number(digits)));
  return { first: plain(first), last: plain(last) };
}

function sendFile(
  ctx: Context,
  response: IncomingMessage,
  isRange: boolean,
  ifNoneMatch: string | undefined,
): void {
  const header = (name: string) => String(response.headers[name] ?? '');
  const etag = `"${header(FILE_HEADERS.tag)}"`;
  ctx.set('etag', etag);
  ctx.set('accept-ranges', 'bytes');
  ctx.set('last-modified', dateOf(Number(header(FILE_HEADERS.modified)) * 1000).toUTCString());
  // A browser must not run what an instance has written.
  ctx.set('content-disposition', 'attachment');
  const tags = (ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (tags.includes(etag) || tags.includes('*')) {
    response.destroy();
    ctx.status = 304;
    return;
  }
  const length = Number(header('content-length'));
  ctx.type = 'application/octet-stream';
  ctx.body = response;
  ctx.length = length;
  ctx.status = isRange ? 206 : 200;
  if (isRange) {
    const start = Number(header(FILE_HEADERS.start));
    const size = header(FILE_HEADERS.size);
    ctx.set('content-range', `bytes ${start}-${start + length - 1}/${size}`);
  }
}

/** @throws ApiError why the worker refused it */
async function resultOf<T>(instance: Instance, response: IncomingMessage): Promise<T> {
  const result = JSON.parse(await text(response)) as FileResult<T>;
  if (result.kind === 'done') return result.value;
  throw refusal(result.why, instance, result.detail);
}

const CONFLICTS: Partial<Record<FileRefusal, string>> = {
  not_regular: 'The path is that of a directory, a device, a pipe or a socket, and not of a file.',
  not_directory: 'The path, or a part of it, is not a directory.',
  exists: 'There is a file at the new path. Set `replace` to replace it.',
  not_empty: 'The directory is not empty. Set `recursive` to remove it with everything in it.',
  incomplete: 'The body has ended early. Nothing has changed.',
  no_helper:
    'The container has no program for file operations: the worker has no statically linked busybox (Debian: busybox-static), or had none when the instance started.',
};

function refusal(why: FileRefusal, instance: Instance, detail?: string): ApiError {
  const conflict = CONFLICTS[why];
  if (conflict !== undefined) return new ApiError({ kind: 'conflict', detail: conflict });
  switch (why) {
    case 'no_file':
      return new ApiError({ kind: 'not_found', what: 'file of this path in this instance' });
    case 'condition':
      return new ApiError({ kind: 'precondition_failed', of: 'file' });
    case 'range': {
      const issue = `the file has ${detail ?? 'less'} bytes`;
      const faults = [{ path: 'range', detail: issue, in: 'header' as const }];
      return new ApiError({ kind: 'invalid', status: 416, faults });
    }
    case 'too_large':
      return tooLarge(Number(detail));
    case 'failed':
      return new ApiError({
        kind: 'conflict',
        detail: `The file system of the instance refuses it: ${detail ?? 'unknown error'}.`,
      });
    default:
      return execRefusal(why as ExecRefusal, instance, detail);
  }
}

function tooLarge(limit: number): ApiError {
  const detail = `the file must have at most ${limit} bytes in this instance`;
  return new ApiError({ kind: 'invalid', status: 413, faults: [{ path: '', detail, in: 'body' }] });
}
