import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { createClient } from './index.ts';

// The standard input of a command, at a control API that takes it slowly or not at all.

const EXEC_ID = `${'0'.repeat(26)}${'a'.repeat(26)}`;

/** @param onInput answers the n-th request for input, from 1; returns whether it took the input */
async function serve(onInput: (response: ServerResponse, count: number) => boolean) {
  const input: Buffer[] = [];
  let stream: ServerResponse | undefined;
  let count = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const { method, url = '' } = request;
      if (method === 'GET') {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ id: 'a1', url: '', status: { state: 'ready' } }));
        return;
      }
      const body = (await json(request)) as {
        stdinBase64?: string;
        dataBase64?: string;
        end?: boolean;
      };
      if (url.endsWith('/exec')) {
        input.push(Buffer.from(body.stdinBase64 ?? '', 'base64'));
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(`event: started\ndata: ${JSON.stringify({ execId: EXEC_ID })}\n\n`);
        stream = response;
        return;
      }
      if (!onInput(response, ++count)) return;
      input.push(Buffer.from(body.dataBase64 ?? '', 'base64'));
      response.writeHead(204).end();
      if (body.end === true) {
        stream?.end('event: end\ndata: {"state":"exited","exitCode":0}\n\n');
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { input, instance: await createClient({ url, retries: 0 }).get('a1') };
}

function refuse(response: ServerResponse, status: number, kind: string): false {
  const type = `urn:ephemera:problem:${kind}`;
  response.writeHead(status).end(JSON.stringify({ type, title: 'T', status, detail: 'D.' }));
  return false;
}

const LONG = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => i % 251));

test('a command that reads slowly gets all input, in the order of the calls', async () => {
  const { input, instance } = await serve((response, count) =>
    count % 2 === 1 ? refuse(response, 429, 'full') : true,
  );
  const command = await instance.spawn(['cat'], { stdin: LONG, keepStdin: true });
  const writes = ['first', 'second'].map((text) => command.write(text));
  await Promise.all([...writes, command.end()]);
  expect(Buffer.concat(input).equals(Buffer.concat([LONG, Buffer.from('firstsecond')]))).toBe(true);
  expect((await command.output().next()).value).toEqual({ state: 'exited', exitCode: 0 });
});

test('input that cannot be written fails the output', async () => {
  const { instance } = await serve((response) => refuse(response, 503, 'host_unavailable'));
  await expect(instance.exec(['cat'], { stdin: LONG })).rejects.toMatchObject({
    kind: 'host_unavailable',
  });
});
