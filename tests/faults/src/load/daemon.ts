import { execFile } from 'node:child_process';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A container in the list of the daemon. */
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

/** Reads the state of one deployment directly from the Docker daemon, without Ephemera. */
export interface Daemon {
  containers(): Promise<ListedContainer[]>;
  networks(): Promise<ListedNetwork[]>;
  /** Runs `docker` with these arguments. */
  command(...args: string[]): Promise<void>;
  /** Reports the exit of every container from now on. The returned function stops it. */
  watchEnds(onEnd: (id: string, at: number) => void): Promise<() => void>;
}

interface DieEvent {
  readonly timeNano: number;
  readonly Actor: { readonly Attributes: Readonly<Record<string, string>> };
}

/** @param socketPath the socket of the daemon */
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
        // readline also emits the errors of its input.
        lines.on('error', () => undefined);
        stream.once('close', () => void again());
      };
      /** Reconnects after a restart of the daemon. Exits in the meantime are not reported. */
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
