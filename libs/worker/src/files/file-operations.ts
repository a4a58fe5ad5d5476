import { randomBytes } from 'node:crypto';
import { on, once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { FILE_HEADERS } from '@ephemera/lifecycle';
import type { FileEntry, FileList, FileResult } from '@ephemera/lifecycle';
import type { HostCall } from '../host-interface/admit-request.ts';
import type { HostOperation } from '../host-interface/host-interface.ts';
import type { ExecEngine } from '../exec/exec-engine.ts';
import { limitCalls } from '../exec/limit-calls.ts';
import { FILE_LIMITS, startRun } from './file-run.ts';
import type { FileLimits, FileRun } from './file-run.ts';
import { fileCommand } from './file-scripts.ts';

/** Entries and bytes of one list of a directory. */
const MAX_ENTRIES = 10_000;
const MAX_LIST_BYTES = 1024 ** 2;
/** Lists that are made at once, for an instance and on a host. */
const MAX_LISTS = 2;
const MAX_LISTS_PER_HOST = 32;
/** Bytes of the first line of a file that is read. */
const MAX_HEAD_BYTES = 1_024;
/** Begin of the name of a file that is not complete. */
const TEMPORARY = '.ephemera-';

/**
 * The operations on files, for the host interface. Their parameters are in the query; `path` is
 * absolute. Refusals are a `FileResult` as JSON. The proxy has checked who may do that.
 * @param limited bounds the number of operations, with those on commands
 */
export function fileOperations(
  engine: Pick<ExecEngine, 'startFiles'>,
  limited = limitCalls(),
  limits = FILE_LIMITS,
): [name: string, operation: HostOperation][] {
  const limitLists = limitCalls(MAX_LISTS, MAX_LISTS_PER_HOST);
  const answering = (
    answer: NonNullable<HostOperation['answer']>,
    also = (operation: HostOperation) => operation,
  ): HostOperation => {
    const operation = limited(also({ answer }));
    return {
      async answer(call, req, res) {
        await operation.answer?.(call, req, res);
        discardRest(req, limits.grace);
      },
    };
  };

  /** An operation whose output is not needed. */
  const change = (cmdOf: (query: URLSearchParams) => readonly string[]): HostOperation =>
    answering(async (call, _req, res) => {
      const run = await startRun(engine, call, { cmd: cmdOf(call.query), kind: 'change' }, limits);
      if ('kind' in run) {
        sendJson(res, run);
        return;
      }
      run.command.endInput();
      await textOf(run);
      sendJson(res, run.refusal() ?? { kind: 'done', value: null });
    });

  return [
    ['file-read', answering((call, _req, res) => readFile({ engine, limits }, call, res))],
    ['file-write', answering((call, req, res) => writeFile({ engine, limits }, call, req, res))],
    [
      'file-list',
      answering((call, _req, res) => listFiles({ engine, limits }, call, res), limitLists),
    ],
    [
      'file-remove',
      change((query) => fileCommand('remove', of(query, 'path'), of(query, 'recursive'))),
    ],
    [
      'file-move',
      change((query) =>
        fileCommand(
          'move',
          of(query, 'path'),
          of(query, 'to'),
          temporaryName(),
          of(query, 'replace'),
        ),
      ),
    ],
  ];
}

interface Runner {
  readonly engine: Pick<ExecEngine, 'startFiles'>;
  readonly limits: FileLimits;
}

/** Sends the bytes of a file, with `FILE_HEADERS`. A file that shrinks meanwhile breaks the response. */
async function readFile(
  { engine, limits }: Runner,
  call: HostCall,
  res: ServerResponse,
): Promise<void> {
  const { query, signal } = call;
  endUnread(res, limits);
  const args = ['path', 'first', 'last', 'ifTag'].map((name) => of(query, name));
  const cmd = fileCommand('read', ...args);
  const run = await startRun(engine, call, { cmd, kind: 'read' }, limits);
  if ('kind' in run) {
    sendJson(res, run);
    return;
  }
  run.command.endInput();
  let head: Buffer | undefined = Buffer.alloc(0);
  let left = 0;
  for await (const chunk of run.output) {
    let bytes = chunk;
    if (head) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\n');
      if (end === -1) {
        if (head.length > MAX_HEAD_BYTES) break;
        continue;
      }
      const [tag = '', size = '', start = '', length = '', modified = ''] = head
        .toString('latin1', 0, end)
        .split(' ');
      res.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': length,
        [FILE_HEADERS.tag]: tag,
        [FILE_HEADERS.size]: size,
        [FILE_HEADERS.start]: start,
        [FILE_HEADERS.modified]: modified,
      });
      left = Number(length);
      bytes = head.subarray(end + 1);
      head = undefined;
    }
    // The file may have grown.
    if (bytes.length > left) break;
    left -= bytes.length;
    if (bytes.length > 0 && !res.write(bytes)) {
      const stop = AbortSignal.any([signal, run.ended]);
      // A break ends the script.
      if (!(await drained(res, stop))) break;
    }
    run.progress();
  }
  if (head) sendJson(res, run.refusal() ?? { kind: 'refused', why: 'failed', detail: 'no output' });
  else if (left > 0) res.destroy();
  else res.end();
}

/** Writes the body to a file. `limit`: bytes of the body. Answers with the tag of the new file. */
async function writeFile(
  { engine, limits }: Runner,
  call: HostCall,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const { query } = call;
  const limit = Number(of(query, 'limit'));
  // Nobody else knows it, so an input with it at its end is complete.
  const mark = randomBytes(16).toString('hex');
  const [mode, match, isNew] = [of(query, 'mode'), of(query, 'match'), of(query, 'new')];
  const cmd = fileCommand('write', of(query, 'path'), mark, temporaryName(), mode, match, isNew);
  const run = await startRun(engine, call, { cmd, kind: 'write' }, limits);
  if ('kind' in run) {
    sendJson(res, run);
    return;
  }
  const text = textOf(run);
  const sent = await sendBody(run, req, limit);
  if (sent === 'complete') await run.command.writeBytes(Buffer.from(mark), run.ended);
  // Without the mark, the script removes what it has.
  run.command.endInput();
  const tag = (await text).trim();
  if (sent === 'too_large') {
    sendJson(res, { kind: 'refused', why: 'too_large', detail: String(limit) });
    return;
  }
  sendJson(res, run.refusal() ?? { kind: 'done', value: tag });
}

/** `stopped`: the client has disconnected, no byte has moved, or the script has ended already. */
async function sendBody(
  { command, progress, ended }: FileRun,
  req: IncomingMessage,
  limit: number,
): Promise<'complete' | 'too_large' | 'stopped'> {
  let total = 0;
  try {
    if (req.destroyed) return 'stopped';
    // An iterator of the request itself could not be left while it waits for bytes.
    const events = on(req, 'data', {
      ...{ signal: ended, close: ['end', 'close'] },
      ...{ highWaterMark: 1, lowWaterMark: 1 },
    });
    for await (const [bytes] of events as AsyncIterable<[Buffer]>) {
      total += bytes.length;
      if (total > limit) return 'too_large';
      if (!(await command.writeBytes(bytes, ended))) return 'stopped';
      progress();
    }
    return req.complete ? 'complete' : 'stopped';
  } catch {
    return 'stopped';
  }
}

/** Waits until a response takes more. False: the signal has aborted. */
function drained(res: ServerResponse, signal: AbortSignal): Promise<boolean> {
  return once(res, 'drain', { signal }).then(
    () => true,
    () => false,
  );
}

/** Ends a response of which the proxy takes nothing for so long as a transfer may stall. */
function endUnread(res: ServerResponse, { stall, grace }: FileLimits): void {
  // The limit of the script comes first, which has a message.
  res.setTimeout(stall + 2 * grace, () => res.destroy());
}

/** Discards the rest of a request that was answered early, and ends its connection after a time. */
function discardRest(req: IncomingMessage, ms: number): void {
  if (req.complete || req.destroyed) return;
  req.resume();
  const timer = setTimeout(() => req.destroy(), ms);
  req.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
}

async function listFiles(
  { engine, limits }: Runner,
  call: HostCall,
  res: ServerResponse,
): Promise<void> {
  endUnread(res, limits);
  // Names may contain anything, but not this.
  const mark = randomBytes(16).toString('hex');
  const cmd = fileCommand('list', of(call.query, 'path'), mark);
  const run = await startRun(engine, call, { cmd, kind: 'read' }, limits);
  if ('kind' in run) {
    sendJson(res, run);
    return;
  }
  run.command.endInput();
  const text = await textOf(run, MAX_LIST_BYTES);
  const isWhole = text.length < MAX_LIST_BYTES;
  const refusal = isWhole ? run.refusal() : undefined;
  // An entry that was removed meanwhile makes the program fail. The others are listed.
  if (refusal && (refusal.why !== 'failed' || text === '')) {
    sendJson(res, refusal);
    return;
  }
  const found = text.split(mark).slice(1);
  // The last one may be cut.
  const whole = isWhole ? found : found.slice(0, -1);
  const entries = whole.slice(0, MAX_ENTRIES).flatMap((line) => entryOf(line) ?? []);
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const value: FileList = { entries, isTruncated: !isWhole || whole.length > MAX_ENTRIES };
  sendJson(res, { kind: 'done', value });
  // A list that is not read counts as one in progress.
  if (!res.writableFinished) await once(res, 'finish', { signal: call.signal }).catch(() => []);
}

const TYPES: Readonly<Record<number, FileEntry['type']>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'link',
};

/** A line is `mode size modified ./name` with the mode in hexadecimal. */
function entryOf(line: string): FileEntry | undefined {
  const fields = /^([0-9a-f]+) (\d+) (-?\d+) \.\/([\s\S]*)\n$/.exec(line);
  if (!fields) return undefined;
  const [, raw = '', size, modified, name = ''] = fields;
  const mode = Number.parseInt(raw, 16);
  return {
    name,
    type: TYPES[mode & 0o170000] ?? 'other',
    size: Number(size),
    mode: (mode & 0o7777).toString(8).padStart(4, '0'),
    modifiedAt: Number(modified) * 1000,
  };
}

/** Reads the output to its end, or to a limit. */
async function textOf({ output }: FileRun, max = MAX_HEAD_BYTES): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of output) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= max) break;
  }
  return Buffer.concat(chunks).toString().slice(0, max);
}

function temporaryName(): string {
  return `${TEMPORARY}${randomBytes(8).toString('hex')}`;
}

function of(query: URLSearchParams, name: string): string {
  return query.get(name) ?? '';
}

function sendJson(res: ServerResponse, result: FileResult<unknown>): void {
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(result));
}
