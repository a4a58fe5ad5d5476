import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { FILE_HEADERS } from '@ephemera/lifecycle';
import type { FileEntry, FileList, FileResult } from '@ephemera/lifecycle';
import type { HostCall } from '../host-interface/admit-request.ts';
import type { HostOperation } from '../host-interface/host-interface.ts';
import type { ExecEngine } from '../exec/exec-engine.ts';
import { startRun } from './file-run.ts';
import type { FileRun } from './file-run.ts';
import { fileCommand } from './file-scripts.ts';

/** Entries and bytes of one list of a directory. */
const MAX_ENTRIES = 10_000;
const MAX_LIST_BYTES = 8 * 1024 ** 2;
/** Bytes of the first line of a file that is read. */
const MAX_HEAD_BYTES = 1_024;
/** Begin of the name of a file that is not complete. */
const TEMPORARY = '.ephemera-';

/**
 * The operations on files, for the host interface. Their parameters are in the query; `path` is
 * absolute. Refusals are a `FileResult` as JSON. The proxy has checked who may do that.
 */
export function fileOperations(
  engine: Pick<ExecEngine, 'startFiles'>,
): [name: string, operation: HostOperation][] {
  const answering = (answer: NonNullable<HostOperation['answer']>): HostOperation => ({ answer });

  /** An operation whose output is not needed. */
  const change = (cmdOf: (query: URLSearchParams) => readonly string[]): HostOperation =>
    answering(async (call, _req, res) => {
      const run = await startRun(engine, call, { cmd: cmdOf(call.query), isChange: true });
      if ('kind' in run) {
        sendJson(res, run);
        return;
      }
      run.command.endInput();
      await textOf(run);
      sendJson(res, run.refusal() ?? { kind: 'done', value: null });
    });

  return [
    ['file-read', answering((call, _req, res) => readFile(engine, call, res))],
    ['file-write', answering((call, req, res) => writeFile(engine, call, req, res))],
    ['file-list', answering((call, _req, res) => listFiles(engine, call, res))],
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

/** Sends the bytes of a file, with `FILE_HEADERS`. A file that shrinks meanwhile breaks the response. */
async function readFile(
  engine: Pick<ExecEngine, 'startFiles'>,
  call: HostCall,
  res: ServerResponse,
): Promise<void> {
  const { query, signal } = call;
  const cmd = fileCommand('read', of(query, 'path'), of(query, 'first'), of(query, 'last'));
  const run = await startRun(engine, call, { cmd }, signal);
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
    if (bytes.length > 0 && !res.write(bytes)) await once(res, 'drain', { signal });
    run.progress();
  }
  if (head) sendJson(res, run.refusal() ?? { kind: 'refused', why: 'failed', detail: 'no output' });
  else if (left > 0) res.destroy();
  else res.end();
}

/** Writes the body to a file. `limit`: bytes of the body. Answers with the tag of the new file. */
async function writeFile(
  engine: Pick<ExecEngine, 'startFiles'>,
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
  const run = await startRun(engine, call, { cmd, isChange: true });
  if ('kind' in run) {
    req.resume();
    sendJson(res, run);
    return;
  }
  const text = textOf(run);
  const sent = await sendBody(run, req, limit);
  if (sent === 'complete') await run.command.writeBytes(Buffer.from(mark));
  // Without the mark, the script removes what it has.
  run.command.endInput();
  const tag = (await text).trim();
  req.resume();
  if (sent === 'too_large') {
    sendJson(res, { kind: 'refused', why: 'too_large', detail: String(limit) });
    return;
  }
  sendJson(res, run.refusal() ?? { kind: 'done', value: tag });
}

/** `stopped`: the client has disconnected, or the script has ended already. */
async function sendBody(
  { command, progress }: FileRun,
  req: IncomingMessage,
  limit: number,
): Promise<'complete' | 'too_large' | 'stopped'> {
  let total = 0;
  try {
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Buffer;
      total += bytes.length;
      if (total > limit) return 'too_large';
      if (!(await command.writeBytes(bytes))) return 'stopped';
      progress();
    }
    return req.complete ? 'complete' : 'stopped';
  } catch {
    return 'stopped';
  }
}

async function listFiles(
  engine: Pick<ExecEngine, 'startFiles'>,
  call: HostCall,
  res: ServerResponse,
): Promise<void> {
  // Names may contain anything, but not this.
  const mark = randomBytes(16).toString('hex');
  const cmd = fileCommand('list', of(call.query, 'path'), mark);
  const run = await startRun(engine, call, { cmd }, call.signal);
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
