import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { HOST, assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import type { DockerFixture } from '../../test/docker-fixture.ts';
import { connectDocker } from './docker-client.ts';
import { dockerContainers } from './docker-containers.ts';
import { watchExits } from './watch-exits.ts';
import type { Exit } from './watch-exits.ts';

let fixture: DockerFixture;
beforeAll(async () => {
  fixture = await openDocker();
});
afterAll(() => fixture.close());

function watch(docker = fixture.docker, timeoutMs?: number) {
  const exits: Exit[] = [];
  const errors: unknown[] = [];
  const stop = new AbortController();
  const place = { namespace: fixture.namespace, host: HOST };
  const ended = watchExits(
    docker,
    place,
    { onExit: (exit) => exits.push(exit), onError: (error) => errors.push(error) },
    stop.signal,
    timeoutMs,
  );
  onTestFinished(async () => {
    stop.abort();
    await ended;
  });
  return { exits, errors, stop, ended };
}

test('reports every exit of the host’s containers, and no other', async () => {
  const { exits } = watch();
  const command = ['/bin/sh', '-c', 'exit 3'];
  const foreign = assignedInstance({ command });
  const other = dockerContainers({ ...fixture.place, host: 'another-host' });
  await other.start(
    foreign,
    () => Promise.resolve(2_000),
    () => Promise.resolve(true),
  );
  const instance = assignedInstance({ command });
  const { containerId } = await fixture.start(instance);
  await waitFor('the news', () => exits.some(({ id }) => id === instance.id));
  expect(exits).toContainEqual({ id: instance.id, containerId });
  await other.removeInstance(foreign.id, 0);
  expect(exits.map(({ id }) => id)).not.toContain(foreign.id);
});

test('ends when the signal aborts', async () => {
  const { stop, ended, errors } = watch();
  stop.abort();
  await ended;
  expect(errors).toEqual([]);
});

// The stream ends with the daemon. Exits in between are requested afterwards.
test('resumes the stream at the last event', async () => {
  const asked: URL[] = [];
  const event = (time: number, id: string) =>
    `${JSON.stringify({ time, Actor: { ID: `c-${id}`, Attributes: { 'ephemera.instance': id } } })}\n`;
  const daemon = createServer((req, res) => {
    asked.push(new URL(req.url ?? '', 'http://daemon'));
    res.flushHeaders();
    if (asked.length === 1) res.write(event(1_000, 'first'), () => req.socket.destroy());
    else if (asked.length === 2) res.end('{"half a');
    else res.write(event(1_001, 'second'));
  });
  await new Promise<void>((resolve) => daemon.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    daemon.closeAllConnections();
    daemon.close();
  });
  const { port } = daemon.address() as AddressInfo;
  const { exits, errors } = watch(connectDocker(`tcp://127.0.0.1:${port}`));
  await waitFor('the news after the break', () => exits.length === 2);
  expect(exits.map(({ id }) => id)).toEqual(['first', 'second']);
  expect(asked.slice(1).map(({ searchParams }) => searchParams.get('since'))).toEqual([
    '1000',
    '1000',
  ]);
  expect(errors.map(String)).toContainEqual(expect.stringContaining('SyntaxError'));
});

// A paused daemon responds to all pending calls when it resumes. Nobody reads these responses.
test('a stream that starts after the timeout is closed', async () => {
  const held: ServerResponse[] = [];
  const open = new Set<Socket>();
  const daemon = createServer((_, res) => {
    held.push(res);
    if (held.length > 1) res.flushHeaders();
  });
  daemon.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => daemon.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    daemon.closeAllConnections();
    daemon.close();
  });
  const { port } = daemon.address() as AddressInfo;
  watch(connectDocker(`tcp://127.0.0.1:${port}`), 200);
  await waitFor('a second attempt', () => held.length === 2);
  held[0]?.flushHeaders();
  await waitFor('one connection', () => open.size === 1, 5_000);
  expect(held).toHaveLength(2);
});
