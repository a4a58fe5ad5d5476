/** Real clients, each run as a process against Ephemera, nginx and haproxy. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installed, startChild } from '@ephemera/test-support';
import { startEchoUpstream } from './echo-upstream.ts';
import { goProgram, startGoUpstream } from './go.ts';
import { PEERS, type Peers, startPeers } from '../peers.ts';

/** What a client reported for one request. */
export interface ClientOutcome {
  /** The proxy, and the form of the address. */
  readonly target: string;
  readonly name: string;
  /** `ok`, or what happened instead. */
  readonly outcome: string;
}

/** A program that takes base addresses, and prints a line per request. */
export interface ClientProgram {
  readonly name: string;
  /** The program and its arguments. Installs the Debian package where it is missing. */
  readonly command: () => Promise<readonly string[]>;
  /** Whether it can reach the names of the host form. */
  readonly hasHostForm?: boolean;
  /** The instance: the one that echoes if it is missing. */
  readonly upstream?: Upstream;
}
const UPSTREAMS = ['echo', 'go'] as const;
type Upstream = (typeof UPSTREAMS)[number];

/** A client that hangs is killed after this time. It has reported its requests until then. */
const CLIENT_TIMEOUT_MS = 100_000;
const here = import.meta.dirname;
export const CLIENTS: readonly ClientProgram[] = [
  {
    name: 'Java',
    // The package contains the compiler, which runs a single source file.
    async command() {
      await installed('javac', 'default-jdk-headless');
      return [
        await installed('java'),
        '-Xshare:auto',
        '-XX:TieredStopAtLevel=1',
        join(here, 'HttpClients.java'),
      ];
    },
  },
  {
    name: 'Python',
    command: async () => [
      await installed('python3', 'python3-minimal'),
      join(here, 'http_client.py'),
    ],
  },
  { name: 'Go', command: async () => [await goProgram(), 'echo'] },
  { name: 'Go to a Go server', command: async () => [await goProgram(), 'served'], upstream: 'go' },
  {
    name: 'Node.js',
    command: async () => await Promise.resolve([process.execPath, join(here, 'node-clients.ts')]),
  },
  {
    name: 'Chromium',
    async command() {
      await installed('chromium');
      return [process.execPath, join(here, 'browser.ts')];
    },
    hasHostForm: true,
  },
];

/** Arguments of curl, and the number of bytes of the body that arrive. `URL` is the address. */
export const CURL: Readonly<Record<string, readonly [string, number]>> = {
  GET: ['URL', 0],
  '--http2': ['--http2 URL', 0],
  '--http2 and a body': ['--http2 -d abc URL', 3],
  '--http2 and an upload': ['--http2 -T FILE URL', 1_500_000],
  '--http2 and HEAD': ['--http2 -I URL', -1],
  '--http1.0': ['--http1.0 URL', 0],
  '--http1.0 and a body': ['--http1.0 -d abc URL', 3],
  '--http1.0 and an upload': ['--http1.0 -T FILE URL', 1_500_000],
  '-T with Expect': ['-T FILE URL', 1_500_000],
  '-T in chunks': ['-H Transfer-Encoding:chunked -T FILE URL', 1_500_000],
  '-T in chunks with Expect': [
    '-H Expect:100-continue -H Transfer-Encoding:chunked -T FILE URL',
    1_500_000,
  ],
  'Expect and a short body': ['-H Expect:100-continue -d abc URL', 3],
  '-F': ['-F f=@FILE URL', -1],
  '-I': ['-I URL', -1],
  '-X DELETE with a body': ['-X DELETE -d abc URL', 3],
  '-X PROPFIND': ['-X PROPFIND -H Depth:1 URL', 0],
  '--compressed': ['--compressed URL', 0],
  'a range': ['-r 0-1 URL', 0],
  'as through a proxy': ['-x PROXY URL', 0],
  'a TE field': ['--tr-encoding URL', 0],
  'a query with odd characters': ['--globoff URL?q=[a]{b}|c\\d', 0],
};

export interface ClientTestbed {
  /** Runs a program against each proxy. */
  run(program: ClientProgram): Promise<ClientOutcome[]>;
  /** Runs curl once for each line of `CURL` and each proxy. */
  runCurl(): Promise<ClientOutcome[]>;
  stop(): Promise<void>;
}

export async function startClientTestbed(): Promise<ClientTestbed> {
  const echo = await startEchoUpstream();
  const go = await startGoUpstream(echo.port).catch((error: unknown) => {
    echo.stop();
    throw error;
  });
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-clients-'));
  const file = join(folder, 'file');
  await writeFile(file, Buffer.alloc(1_500_000, 'abc'));
  const ports = UPSTREAMS.map((name) => ({ echo, go })[name].port);
  const peers = await startPeers({ ephemera: ports, nginx: ports, haproxy: ports });
  return {
    async run({ command, hasHostForm = false, upstream = 'echo' }) {
      const [program = '', ...args] = await command();
      const targets = targetsOf(peers, hasHostForm, upstream);
      const child = startChild(program, [...args, ...targets.map(({ base }) => base)]);
      const timer = setTimeout(() => child.signal('SIGKILL'), CLIENT_TIMEOUT_MS);
      const code = await child.exit();
      clearTimeout(timer);
      const lines = child.log().split('\n');
      const outcomes = targets.flatMap(({ target, base }) =>
        lines
          .filter((line) => line.startsWith(`${base} `))
          .map((line) => {
            const [, name = '', outcome = ''] =
              /^([^:]*): ([^]*)$/.exec(line.slice(base.length + 1)) ?? [];
            return { target, name, outcome };
          }),
      );
      if (code !== 0)
        outcomes.push({ target: 'all', name: 'exit', outcome: `${code}: ${child.log()}` });
      return outcomes;
    },
    async runCurl() {
      const curl = await installed('curl');
      const runAt = async ({ target, base, resolve }: Target) => {
        const outcomes: ClientOutcome[] = [];
        for (const [name, [args, bytes]] of Object.entries(CURL)) {
          const proxy = `http://127.0.0.1:${new URL(base).port}`;
          const given = args
            .replace('URL', `${base}/hi`)
            .replace('FILE', file)
            .replace('PROXY', proxy)
            .split(' ');
          const common = ['-sS', '-m', '20', '-w', ' STATUS %{http_code}', '--resolve', resolve];
          const child = startChild(curl, [...common, ...given]);
          await child.exit();
          const said = child.log();
          const isWhole = bytes === -1 || said.includes(`"bytes":${bytes},`);
          const outcome = said.endsWith(' STATUS 200') && isWhole ? 'ok' : said.slice(0, 300);
          outcomes.push({ target, name, outcome });
        }
        return outcomes;
      };
      return (await Promise.all(targetsOf(peers, true, 'echo').map(runAt))).flat();
    },
    async stop() {
      await peers.stop();
      go.stop();
      echo.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface Target {
  readonly target: string;
  /** The address of the instance, without a slash at its end. */
  readonly base: string;
  /** The value of curl's `--resolve`. */
  readonly resolve: string;
}

function targetsOf(peers: Peers, hasHostForm: boolean, upstream: Upstream): Target[] {
  const index = UPSTREAMS.indexOf(upstream);
  return PEERS.flatMap((peer) =>
    (hasHostForm && peer === 'ephemera' ? (['path', 'host'] as const) : (['path'] as const)).map(
      (form) => {
        const port = peers.port(peer, form, index);
        const to = peers.to(form, index);
        const host = form === 'host' ? to.host : '127.0.0.1';
        return {
          target: peer === 'ephemera' ? `${peer}, ${form} form` : peer,
          base: `http://${host}:${port}${to.at('')}`,
          resolve: `${host}:${port}:127.0.0.1`,
        };
      },
    ),
  );
}
