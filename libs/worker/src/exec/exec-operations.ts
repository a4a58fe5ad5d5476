import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { ExecSignal } from '@ephemera/domain';
import type { ExecInput, ExecOffsets, ExecRequest, ExecResult } from '@ephemera/lifecycle';
import type { HostCall } from '../host-interface/admit-request.ts';
import type { HostOperation } from '../host-interface/host-interface.ts';
import type { Command, ExecPart } from './command.ts';
import type { ExecEngine } from './exec-engine.ts';
import { limitCalls } from './limit-calls.ts';

const FROM_START: ExecOffsets = { stdout: 0, stderr: 0 };
/** Interval of comments on a stream of events, by which a dead connection is noticed, ms. */
const HEARTBEAT_MS = 15_000;

/**
 * The operations on commands, for the host interface. Each answers an `ExecResult` as JSON. With
 * `follow=1` in the query, a command that runs is answered as server-sent events. `wait` (ms) waits
 * for its end. The proxy has checked who may do that.
 *
 * A request may last as long as its command, so `limited` bounds their number, except of kills.
 */
export function execOperations(
  engine: ExecEngine,
  limited = limitCalls(),
): [name: string, operation: HostOperation][] {
  /** An operation on one command of the instance, `exec` in the query. */
  const onCommand = (
    act: (command: Command, call: HostCall, body: string) => Promise<ExecResult<null>>,
  ): HostOperation => ({
    async answer(call, req, res) {
      const body = await text(req);
      const found = engine.find(call, call.query.get('exec') ?? '');
      if (found.kind === 'refused') {
        sendJson(res, found);
        return;
      }
      if (found.value === 'lost') {
        sendJson(res, { kind: 'refused', why: 'ended' });
        return;
      }
      sendJson(res, await act(found.value, call, body));
    },
  });

  return [
    [
      'exec',
      limited({
        async answer(call, req, res) {
          const request = JSON.parse(await text(req)) as ExecRequest;
          const started = await engine.start(call, request);
          if (started.kind === 'refused') {
            sendJson(res, started);
            return;
          }
          await sendCommand(call, res, started.value, FROM_START);
        },
      }),
    ],
    [
      'exec-read',
      limited({
        async answer(call, _req, res) {
          const { query } = call;
          const execId = query.get('exec') ?? '';
          const offsets = {
            stdout: Number(query.get('stdout')),
            stderr: Number(query.get('stderr')),
          };
          const found = engine.find(call, execId);
          if (found.kind === 'refused') {
            sendJson(res, found);
            return;
          }
          if (found.value !== 'lost') {
            await sendCommand(call, res, found.value, offsets);
            return;
          }
          if (query.get('follow') === '1') {
            res.writeHead(200, { 'content-type': 'text/event-stream' });
            res.end(eventOf('started', { execId }) + eventOf('end', { state: 'lost' }));
            return;
          }
          sendJson(res, { kind: 'done', value: engine.status('lost', execId, offsets) });
        },
      }),
    ],
    [
      'exec-input',
      limited(
        onCommand((command, _call, body) => engine.write(command, JSON.parse(body) as ExecInput)),
      ),
    ],
    [
      'exec-kill',
      onCommand((command, { query }) => engine.kill(command, query.get('signal') as ExecSignal)),
    ],
    [
      'exec-resize',
      limited(
        onCommand((command, { query }) =>
          engine.resize(command, Number(query.get('columns')), Number(query.get('rows'))),
        ),
      ),
    ],
  ];
}

function sendJson(res: ServerResponse, result: ExecResult<unknown>): void {
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(result));
}

async function sendCommand(
  { query, signal }: HostCall,
  res: ServerResponse,
  command: Command,
  offsets: ExecOffsets,
): Promise<void> {
  if (query.get('follow') !== '1') {
    await command.waitForEnd(Number(query.get('wait')), signal);
    sendJson(res, { kind: 'done', value: command.status(offsets) });
    return;
  }
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain) res.write(':\n\n');
  }, HEARTBEAT_MS);
  try {
    const events = eventsOf(command, command.read(offsets, signal));
    await pipeline(Readable.from(events, { objectMode: false }), res);
  } finally {
    clearInterval(heartbeat);
  }
}

/** Server-sent events (WHATWG HTML section 9.2). */
async function* eventsOf(
  { execId }: Command,
  parts: AsyncGenerator<ExecPart, void>,
): AsyncGenerator<string> {
  yield eventOf('started', { execId });
  for await (const part of parts) {
    if (part.kind === 'end') yield eventOf('end', part.state);
    else {
      yield eventOf(part.kind, { offset: part.offset, data: part.data.toString('base64') });
    }
  }
}

function eventOf(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
