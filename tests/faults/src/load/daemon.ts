import { execFile } from 'node:child_process';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A container as the daemon lists it. */
export interface ListedContainer {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

export interface ListedNetwork {
  readonly Id: string;
  readonly Name: string;
  readonly Containers?: Readonly<Record<string, unknown>>;
}

/** What the daemon itself says of one deployment, over its socket: nobody's word but its own. */
export interface Daemon {
  containers(): Promise<ListedContainer[]>;
  networks(): Promise<ListedNetwork[]>;
  /** What an operator would type behind `docker`. */
  command(...args: string[]): Promise<void>;
  /** Tells of every container's end from now on; gives what stops it. */
  watchEnds(onEnd: (id: string, at: number) => void): Promise<() => void>;
}

interface DieEvent {
  readonly timeNano: number;
  readonly Actor: { readonly Attributes: Readonly<Record<string, string>> };
}

/** @param socketPath where the daemon listens */
export function daemonOf(namespace: string, socketPath: string): Daemon {
  const ask = (path: string, filters: object) =>
    get(socketPath, `${path}filters=${encodeURIComponent(JSON.stringify(filters))}`);
  const label = [`ephemera.namespace=${namespace}`];
  const json = async <T>(answer: Promise<IncomingMessage>): Promise<T> => {
    const body = await text(await answer);
    return JSON.parse(body) as T;
  };
  return {
    containers: () => json(ask('/containers/json?all=1&', { label })),
    async networks() {
      const found = await json<ListedNetwork[]>(ask('/networks?', { name: [namespace] }));
      const ours = found.filter(({ Name }) => Name.startsWith(namespace));
      return Promise.all(
        ours.map(({ Id }) => json<ListedNetwork>(get(socketPath, `/networks/${Id}`))),
      );
    },
    async command(...args) {
      await run('docker', ['-H', `unix://${socketPath}`, ...args]);
    },
    async watchEnds(onEnd) {
      const filters = { type: ['container'], event: ['die'], label };
      let stream: IncomingMessage | undefined;
      let stopped = false;
      const follow = async () => {
        stream = await ask('/events?', filters);
        const lines = createInterface({ input: stream }).on('line', (line) => {
          const { timeNano, Actor } = JSON.parse(line) as DieEvent;
          const id = Actor.Attributes['ephemera.instance'];
          if (id !== undefined) onEnd(id, timeNano / 1e6);
        });
        // It tells of its input's errors too.
        lines.on('error', () => undefined);
        stream.once('close', () => void again());
      };
      /** A daemon that has ended comes back; what ended meanwhile it does not tell. */
      const again = async () => {
        while (!stopped) {
          await sleep(100);
          const follows = await follow().then(
            () => true,
            () => false,
          );
          if (follows) return;
        }
      };
      await follow();
      return () => {
        stopped = true;
        stream?.destroy();
      };
    },
  };
}

function get(socketPath: string, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, resolve).once('error', reject).end();
  });
}
