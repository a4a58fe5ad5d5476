import type { components } from './api-types.ts';
import type { Call } from './call.ts';

/** The entries of a directory, with sizes in bytes. */
export type FileList = components['schemas']['FileList'];

/** The content of a file, or a part of it. */
export interface ReadFileOptions {
  /** Position of the first byte. Default: 0. */
  readonly start?: number;
  /** Position of the last byte. Default: the end of the file. */
  readonly end?: number;
  /** Ends the transfer with the reason of the signal. */
  readonly signal?: AbortSignal;
}

/** Conditions and permissions of an upload. */
export interface WriteFileOptions {
  /** Permissions, such as 0o755. Default: those of the file before, else 0o644. */
  readonly mode?: number;
  /** Only if the file has this entity tag; `*`: only if it exists. */
  readonly ifMatch?: string;
  /** Only if the file does not exist. */
  readonly isNew?: boolean;
  readonly signal?: AbortSignal;
}

/** A stream is sent as it is read. It cannot be sent again after a failure. */
export type FileContent = string | Uint8Array | ReadableStream<Uint8Array>;

/** An open file of an instance. */
export interface FileData {
  /** The bytes as they arrive. A stream that breaks off fails. */
  readonly stream: ReadableStream<Uint8Array>;
  /** Bytes of the stream. */
  readonly size: number;
  /** For `ifMatch`. */
  readonly etag: string;
}

/** The longest time of a timer: an upload is answered at its end. */
const UPLOAD_TIMEOUT_MS = 3_600_000;

/**
 * Opens a file for reading.
 * @throws ProblemError `not_found`, `conflict`, `gone`; `invalid` if it has not these bytes
 */
export async function readFileStream(
  call: Call,
  id: string,
  path: string,
  { start, end, signal }: ReadFileOptions,
): Promise<FileData> {
  const isPart = start !== undefined || end !== undefined;
  let headers = new Headers();
  const stream = await call(
    async (api, init) => {
      const result = await api.GET('/v1/instances/{id}/files', {
        ...init,
        params: {
          path: { id },
          query: { path },
          header: isPart ? { range: `bytes=${start ?? 0}-${end ?? ''}` } : {},
        },
        parseAs: 'stream',
      });
      ({ headers } = result.response);
      return result;
    },
    { signal },
  );
  return {
    stream: stream as ReadableStream<Uint8Array>,
    size: Number(headers.get('content-length')),
    etag: headers.get('etag') ?? '',
  };
}

/** Writes a file whole or not at all. Returns its entity tag. Not repeated by itself. */
export async function writeFileContent(
  call: Call,
  id: string,
  path: string,
  content: FileContent,
  { mode, ifMatch, isNew, signal }: WriteFileOptions,
): Promise<string> {
  return await call(
    async (api, init) => {
      const result = await api.PUT('/v1/instances/{id}/files', {
        ...init,
        params: {
          path: { id },
          query: { path, ...(mode !== undefined && { mode: mode.toString(8).padStart(3, '0') }) },
          header: {
            ...(ifMatch !== undefined && { 'if-match': ifMatch }),
            ...(isNew === true && { 'if-none-match': '*' as const }),
          },
        },
        headers: { 'content-type': 'application/octet-stream' },
        body: content as string,
        bodySerializer: (body: unknown) => body as string,
        // fetch requires it for a stream.
        duplex: 'half',
      });
      return { ...result, data: result.response.headers.get('etag') ?? '' };
    },
    { signal, isRepeatable: false, timeoutMs: UPLOAD_TIMEOUT_MS },
  );
}

/** Lists a directory. */
export async function listFiles(call: Call, id: string, path: string): Promise<FileList> {
  const list = await call((api, init) =>
    api.GET('/v1/instances/{id}/files', {
      ...init,
      params: { path: { id }, query: { path, list: '1' } },
    }),
  );
  return list as FileList;
}

/** Removes a file, or a directory with everything in it. Not repeated: the path may be new. */
export async function removeFile(
  call: Call,
  id: string,
  path: string,
  isRecursive: boolean,
): Promise<void> {
  await call(
    (api, init) =>
      api.DELETE('/v1/instances/{id}/files', {
        ...init,
        params: { path: { id }, query: { path, ...(isRecursive && { recursive: '1' as const }) } },
      }),
    { isRepeatable: false },
  );
}

/** Renames a file or a directory. */
export async function moveFile(
  call: Call,
  id: string,
  body: components['schemas']['MoveFile'],
): Promise<void> {
  await call(
    (api, init) =>
      api.POST('/v1/instances/{id}/files/move', { ...init, params: { path: { id } }, body }),
    { isRepeatable: false },
  );
}
