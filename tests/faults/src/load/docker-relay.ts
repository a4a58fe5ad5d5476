import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * What becomes of a call: it goes on to the daemon, it goes on after something else (`late`), it gets
 * no answer, or its connection is cut.
 */
export type Outcome = 'pass' | 'late' | 'hold' | 'cut';

/** Decides on a call, which waits for it. */
export type Decide = (method: string, path: string) => Outcome | Promise<Outcome>;

/** Stands between a worker and the daemon, on a socket of its own; nobody else is touched by it. */
export interface DockerRelay {
  readonly socketPath: string;
  /** Decides on every call from now on; those that are held stay held until `release`. */
  decide(outcome: Decide): void;
  /** Lets everything through again, and cuts what was held. */
  release(): void;
  /** How many calls did not simply go on. */
  readonly disturbed: number;
  stop(): Promise<void>;
}

export async function startDockerRelay(daemon = '/var/run/docker.sock'): Promise<DockerRelay> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-relay-'));
  const socketPath = join(folder, 'docker.sock');
  let outcome: Decide = () => 'pass';
  let disturbed = 0;
  const held = new Set<ServerResponse>();

  const pass = (req: IncomingMessage, res: ServerResponse) => {
    const { method, url, headers } = req;
    const onward = request({ socketPath: daemon, method, path: url, headers, agent: false });
    onward.on('response', (response) => {
      res.writeHead(response.statusCode ?? 500, response.headers);
      // The worker waits for the head of a stream, such as the events.
      res.flushHeaders();
      response.pipe(res);
      response.on('error', () => res.destroy());
    });
    onward.on('error', () => res.destroy());
    res.on('close', () => onward.destroy());
    req.pipe(onward);
  };
  const answer = async (req: IncomingMessage, res: ServerResponse) => {
    const chosen = await outcome(req.method ?? '', req.url ?? '');
    if (chosen !== 'pass') disturbed++;
    if (chosen === 'cut') req.socket.destroy();
    else if (chosen === 'hold') held.add(res);
    else pass(req, res);
  };
  const server = createServer((req, res) => void answer(req, res));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const release = () => {
    outcome = () => 'pass';
    for (const res of held) res.destroy();
    held.clear();
  };
  return {
    socketPath,
    decide: (next) => (outcome = next),
    release,
    get disturbed() {
      return disturbed;
    },
    async stop() {
      release();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
