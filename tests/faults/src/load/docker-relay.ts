import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The outcome of a call: forwarded (`pass`), forwarded after other work (`late`), never answered
 * (`hold`), or its connection is closed (`cut`).
 */
export type Outcome = 'pass' | 'late' | 'hold' | 'cut';

/** Decides the outcome of a call. The call waits for the decision. */
export type Decide = (method: string, path: string) => Outcome | Promise<Outcome>;

/**
 * A relay between one worker and the daemon, on its own socket. Other clients of the daemon are not
 * affected.
 */
export interface DockerRelay {
  readonly socketPath: string;
  /** Decides the outcome of all later calls. Calls already held stay held until `release`. */
  decide(outcome: Decide): void;
  /** Forwards all later calls, and closes the connections of the held calls. */
  release(): void;
  /** Number of calls whose outcome was not `pass`. */
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
      // The worker waits for the headers of streams such as the events.
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
