import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ProblemError } from '@ephemera/client';
import type { Problem, RunningCommand } from '@ephemera/client';
import { parseTemplates } from '@ephemera/config';
import { problemOf } from '@ephemera/contract';
import type {
  EventResource,
  HostResource,
  InstanceResource,
  NameResource,
  UsageResource,
} from '@ephemera/contract';
import { BootError } from '@ephemera/domain';
import { createTokens } from '@ephemera/http';
import { describe, expect, onTestFinished, test } from 'vitest';

import { ApiUnavailableError, StartUnfinishedError, explain } from './admin-api.ts';
import type { AdminApi } from './admin-api.ts';
import { runCli } from './cli.ts';
import { createContext } from './context.ts';
import { EXIT_CODES } from './exit-codes.ts';

const now = Date.parse('2026-01-01T00:00:30.000Z');
const instance: InstanceResource = {
  id: 'abc',
  template: 'demo',
  status: { state: 'ready', lastTransitionAt: '2026-01-01T00:00:01.000Z' },
  url: 'http://localhost:8080/demo/abc/',
  baseUrl: 'http://localhost:8080/demo/abc/',
  ports: { web: { port: 80, url: 'http://localhost:8080/demo/abc/' } },
  timeout: 90,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:01.000Z',
  expiresAt: '2026-01-01T00:01:31.000Z',
  maxExpiresAt: '2026-01-01T00:01:31.000Z',
  metadata: {},
};

const stable: NameResource = {
  name: 'pr-42',
  generation: 8,
  instance: { ...instance, url: 'http://localhost:8080/demo/@pr-42/' },
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-31T00:00:00.000Z',
};

const link: Awaited<ReturnType<AdminApi['link']>> = {
  id: 'l',
  template: 'demo',
  url: 'http://localhost:8080/demo/new?link=l',
  uses: 1,
  expiresAt: '2026-01-02T00:00:00.000Z',
};

const machine: HostResource = {
  name: 'h1',
  alive: true,
  lastSeenAt: '2026-01-01T00:00:29.000Z',
  networks: ['10.231.0.0/16'],
  instances: 2,
  capacity: { instances: 8, memory: 2 ** 30 },
  used: { instances: 2, memory: 2 ** 29, cpus: 1 },
};

const usage: UsageResource = {
  readAt: '2026-01-01T00:00:29.000Z',
  cpuSeconds: 1.25,
  memory: { used: 3 * 2 ** 20, limit: 2 ** 28 },
  pids: 4,
  network: { received: 900, sent: 2048 },
};

const event: EventResource = {
  seq: '1-0',
  type: 'gone',
  time: '2026-01-01T00:00:29.000Z',
  id: 'abc',
  template: 'demo',
  state: 'gone',
  reason: 'ttl',
  generation: 2,
  expiresAt: '2026-01-01T00:00:28.000Z',
  metadata: {},
};

/** The id of an instance that cannot be read. */
const BROKEN = 'broken'.padEnd(26, 'x');

/** The instance of `renew` has an hour more than it uses. */
const maxExpiresAt = '2026-01-01T01:01:31.000Z';

/** A control API in memory that records its calls as `[name, ...arguments]`. */
function recordingApi(calls: unknown[][]): AdminApi {
  const record = <T>(result: T, ...call: unknown[]): Promise<T> => {
    calls.push(call);
    return Promise.resolve(result);
  };
  const command: RunningCommand = {
    execId: 'command',
    async *output() {
      yield await record(
        { stream: 'stdout', data: Buffer.from('out\x1b[1m\n') } as const,
        'output',
      );
      yield { stream: 'stderr', data: Buffer.from('err\n') };
      return { state: 'exited', exitCode: 42 };
    },
    write: (data) => record(undefined, 'write', String(data)),
    end: () => record(undefined, 'end'),
    kill: (signal) => record(undefined, 'kill', signal),
    resize: () => record(undefined, 'resize'),
  };
  const template = {
    ...{ name: 'demo', timeout: 60, instances: 1, queued: 0 },
    pool: { size: 0, warm: 0 },
  } as Awaited<ReturnType<AdminApi['templates']>>[number];
  return {
    create: (request, wait) => record(instance, 'create', request, wait),
    putName: (name, request, condition, wait) =>
      record(
        { ...instance, url: 'http://localhost:8080/demo/@pr-42/', name, generation: 8 },
        ...['putName', name, request, condition, wait],
      ),
    getName: (name) => record({ ...stable, name }, 'getName', name),
    listNames: () => {
      const next: InstanceResource = {
        ...instance,
        id: 'def',
        status: { ...instance.status, state: 'starting', message: 'pulling the image' },
      };
      const { instance: _instance, ...gone } = stable;
      return record(
        [stable, { ...stable, name: 'pr-43', next }, { ...gone, name: 'main' }],
        'listNames',
      );
    },
    removeName: (name, ifMatch) => record(undefined, 'removeName', name, ifMatch),
    list: () => record([instance, { ...instance, id: 'def' }], 'list'),
    get: (id) =>
      id === BROKEN ? Promise.reject(new BootError('Not found.')) : record(instance, 'get', id),
    renew(id, seconds, shorten) {
      const wanted = Math.min(now + seconds * 1000, Date.parse(maxExpiresAt));
      const expiresAt = new Date(wanted).toISOString();
      const { expiresAt: previousExpiresAt } = instance;
      const isAtMaximum = expiresAt === maxExpiresAt;
      const outcome = expiresAt > previousExpiresAt ? 'extended' : 'shortened';
      const renewal = { outcome, previousExpiresAt, isAtMaximum } as const;
      const renewed = { ...instance, maxExpiresAt, expiresAt, renewal };
      return record(renewed, 'renew', id, seconds, shorten);
    },
    suspend: (id, action) => record(instance, action, id),
    usage: (id) => record(usage, 'usage', id),
    stats: () => record({ instances: 3, capacity: 9 }, 'stats'),
    events(query, onEvent, onGap) {
      calls.push(['events', query]);
      onEvent(event);
      onGap();
      return Promise.reject(new BootError('The token was revoked.'));
    },
    kill: (id) => record(undefined, 'kill', id),
    killAll: () => record(2, 'killAll'),
    logs: (id, query, onChunk) => {
      onChunk('a line\n');
      return record(undefined, 'logs', id, query);
    },
    spawn: (id, cmd, options) => record(command, 'spawn', id, cmd, options),
    link: (request) => record(link, 'link', request),
    templates: () => record([template], 'templates'),
    hosts: () => record([machine], 'hosts'),
    host: (name) => record({ ...machine, name }, 'host', name),
    setCordon: (name, action) => record({ ...machine, name }, action, name),
    drainHost: (name, seconds) => record({ ...machine, name }, 'drainHost', name, seconds),
  };
}

function ephemera(...inputs: string[]) {
  return ephemeraWith({}, ...inputs);
}

/** @param api replaces single calls. The clock advances by each `sleep` of the command. */
async function ephemeraWith(api: Partial<AdminApi>, ...inputs: string[]) {
  const [out, err]: [string[], string[]] = [[], []];
  const calls: unknown[][] = [];
  let clock = now;
  const context = {
    ...createContext({
      stdout: { write: (text) => out.push(text) > 0 },
      stderr: { write: (text) => err.push(text) > 0 },
    }),
    api: () => ({ ...recordingApi(calls), ...api }),
    now: () => clock,
    sleep: (ms: number) => Promise.resolve((clock += ms)),
  };
  const code = await runCli(inputs, context);
  // A short id is looked up in the list.
  const changes = inputs[0] === 'ls' ? calls : calls.filter(([name]) => name !== 'list');
  return { code, out: out.join(''), err: err.join(''), calls: changes };
}

const COMMANDS = [
  'up',
  'run',
  'ls',
  'get',
  'open',
  'renew',
  'pause',
  'resume',
  'logs',
  'exec',
  'stats',
  'kill',
  'link',
  'templates',
  'events',
  'name',
  'host',
  'token',
  'check',
  'try',
  'clean',
  'completion',
];

describe('help', () => {
  test.each([[[]], [['--help']], [['-h']], [['help']]])(
    '%j lists commands and exit codes',
    async (inputs) => {
      const { code, out } = await ephemera(...inputs);
      expect(code).toBe(0);
      for (const command of COMMANDS) expect(out).toMatch(new RegExp(`^  ${command} `, 'm'));
      for (const exit of Object.values(EXIT_CODES)) {
        expect(out).toMatch(new RegExp(`^ +${exit.code} +${exit.meaning}$`, 'm'));
      }
    },
  );

  test.each(COMMANDS)('%s has its own help', async (command) => {
    for (const inputs of [
      [command, '--help'],
      [command, '-h'],
      ['help', command],
    ]) {
      const { code, out } = await ephemera(...inputs);
      expect(code).toBe(0);
      expect(out).toContain(`USAGE\n  ephemera ${command}`);
    }
  });

  test('--version prints the version', async () => {
    expect((await ephemera('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

test.each([
  [['kll'], 'There is no command "kll". Did you mean "kill"?\nSee: ephemera --help'],
  [['rnu', 'demo'], 'There is no command "rnu". Did you mean "run"?'],
  [['--hepl'], 'Did you mean "--help" or "--version"?'],
  [['kill', '--al'], 'There is no option "--al". Did you mean "--all"?\nSee: ephemera kill --help'],
  [['up', '--workres', '2'], 'There is no option "--workres". Did you mean "--workers"?'],
  [['logs', 'abc', '-x'], 'There is no option "-x".'],
  [['up', '--proxies', '0'], '--proxies is "0"; it must be a number from 1 to 99.'],
  [['up', '--workers=many'], '--workers is "many"; it must be a number'],
  [['up', 'now'], 'The argument "now" is one too many.'],
  [['run', 'demo', 'more'], 'The argument "more" is one too many.'],
  [['run', '--timeout', 'soon'], '--timeout is "soon"; it must be a duration such as 90s'],
  [['run', '--timeout'], '--timeout is missing or has no value.'],
  [['ls', 'abc'], 'The argument "abc" is one too many.'],
  [['ls', '--json', '--quiet'], 'Use either --json or --quiet.'],
  [['get'], 'The argument <id> is missing.'],
  [['renew', 'abc'], '--timeout is missing or has no value.'],
  [['kill'], 'Name the instances to kill by their ids, or use --all.'],
  [['kill', '--all', 'abc'], 'Name the instances to kill by their ids, or use --all.'],
  [['logs', 'abc', '--tail', '-1'], '--tail'],
  [['link', '--uses', '0'], '--uses is "0"'],
  [['link', '--valid', '5'], '--valid is "5"'],
  [['name', 'put'], 'The argument <name> is missing.'],
  [['name', 'put', 'PR_42'], 'The name "PR_42" is invalid'],
  [['name', 'rm', '..'], 'The name ".." is invalid'],
  [['name', 'put', 'pr-42', 'demo', 'more'], 'The argument "more" is one too many.'],
  [['name', 'put', 'pr-42', '--drain', '5'], '--drain is "5"; it must be a duration'],
  [['name', 'put', 'pr-42', '--ttl', '0s'], '--ttl is "0s"; it must be a duration'],
  [['run', '--image', 'sha256:ab'], '--image is "sha256:ab"; it must be the name of an image'],
  [
    ['name', 'put', 'pr-42', '--if-none-match', '--if-match', '8'],
    'Give either --if-match or --if-none-match.',
  ],
  [['name', 'rm', 'pr-42', '--if-match', '"8"'], '--if-match is ""8""; it must be a generation'],
  [['name', 'put', 'pr-42', '--env', 'A=1', '--env', 'A=2'], '--env sets A twice.'],
  [['name', 'ls', '--json', '--quiet'], 'Use either --json or --quiet.'],
  [['token'], 'missing'],
  [['token', 'CI', '--scope', 'read'], 'The name "CI" is invalid.'],
  [['token', 'admin', '--scope', 'read'], 'reserved'],
  [['token', 'a', 'b', '--scope', 'read'], 'The argument "b" is one too many.'],
  [['token', 'a'], '--scope is missing'],
  [
    ['token', 'a', '--scope', 'root'],
    '--scope is "root"; it must be one of read, create, exec, admin.',
  ],
  [['completion', 'csh'], 'The shell is "csh"; it must be one of bash, zsh, fish.'],
])('%j exits with the usage code', async (inputs, message) => {
  const { code, out, err, calls } = await ephemera(...inputs);
  expect(err).toContain(message);
  expect(err).toMatch(/\nSee: ephemera .*--help\n$/);
  expect({ code, out, calls }).toEqual({ code: 2, out: '', calls: [] });
  expect(err).not.toMatch(/^ +at /m);
});

test('a refusal by the control API exits with the failure code, without a stack', async () => {
  expect(await ephemera('get', BROKEN)).toMatchObject({ code: 1, out: '', err: 'Not found.\n' });
});

test.each([
  [['run'], ['create', {}, 0]],
  [
    ['run', '--env', 'A=1', '--env', 'B=x=y', '--env', 'C=', '--metadata', 'who=me'],
    ['create', { env: { A: '1', B: 'x=y', C: '' }, metadata: { who: 'me' } }, 0],
  ],
  [
    ['run', 'demo', '--timeout', '1m'],
    ['create', { template: 'demo', timeout: 60 }, 0],
  ],
  [
    ['get', 'abc'],
    ['get', 'abc'],
  ],
  [['kill', '--all'], ['killAll']],
  [
    ['logs', 'abc', '-f', '--tail', '5'],
    ['logs', 'abc', { follow: true, timestamps: false, tail: 5 }],
  ],
  [['link'], ['link', { uses: 1, validFor: 86_400 }]],
  [
    ['link', 'demo', '--uses', '3', '--valid', '1h'],
    ['link', { template: 'demo', uses: 3, validFor: 3600 }],
  ],
  [
    ['name', 'put', 'pr-42'],
    ['putName', 'pr-42', {}, {}, 0],
  ],
  [
    ['name', 'put', 'pr-42', '--if-none-match', '--image', 'ghcr.io/acme/app:1'],
    ['putName', 'pr-42', { image: 'ghcr.io/acme/app:1' }, { ifNoneMatch: '*' }, 0],
  ],
  [
    [
      ...['name', 'put', 'pr-42', 'demo', '--timeout', '1d', '--drain', '0s', '--ttl', '7d'],
      ...['--env', 'A=1', '--metadata', 'who=me', '--path', '/lab', '--if-match', '8'],
    ],
    [
      ...['putName', 'pr-42'],
      {
        ...{ template: 'demo', timeout: 86_400, drain: 0, ttl: 604_800 },
        ...{ env: { A: '1' }, metadata: { who: 'me' }, path: '/lab' },
      },
      ...[{ ifMatch: 8 }, 0],
    ],
  ],
  [
    ['name', 'get', 'pr-42'],
    ['getName', 'pr-42'],
  ],
  [['name', 'ls'], ['listNames']],
  [
    ['name', 'rm', 'pr-42'],
    ['removeName', 'pr-42', undefined],
  ],
  [
    ['name', 'rm', 'pr-42', '--if-match', '*'],
    ['removeName', 'pr-42', '*'],
  ],
])('%j makes one call', async (inputs, call) => {
  const { code, err, calls } = await ephemera(...inputs);
  expect({ code, err, calls }).toEqual({ code: 0, err: '', calls: [call] });
});

test('results are text, JSON, or ids alone', async () => {
  expect((await ephemera('run')).out).toBe('abc  http://localhost:8080/demo/abc/\n');
  expect((await ephemera('run', '-q')).out).toBe('abc\n');
  expect(JSON.parse((await ephemera('ls', '--json')).out)).toHaveLength(2);
  expect((await ephemera('ls', '--quiet')).out).toBe('abc\ndef\n');
  expect((await ephemera('get', 'abc')).out).toContain('left:     1m1s\n');
  expect((await ephemera('kill', 'abc', 'def')).out).toBe('abc is ending\ndef is ending\n');
  expect((await ephemera('kill', 'abc', '--quiet')).out).toBe('');
  expect((await ephemera('logs', 'abc')).out).toBe('a line\n');
});

describe('name', () => {
  const url = 'http://localhost:8080/demo/@pr-42/';

  test('put prints every address of the name, the guarded one with its token', async () => {
    expect((await ephemera('name', 'put', 'pr-42')).out).toBe(`pr-42  abc  ${url}\n`);
    expect((await ephemera('name', 'put', 'pr-42', '-q')).out).toBe(`${url}\n`);
    const ports = { web: { port: 80, url }, api: { port: 81, url: `${url.slice(0, -1)}:api/` } };
    const putName: AdminApi['putName'] = (name) =>
      Promise.resolve({ ...instance, url, ports, name, generation: 8, link: `${url}?t=1` });
    const { out } = await ephemeraWith({ putName }, 'name', 'put', 'pr-42');
    expect(out).toBe(
      `pr-42  abc  ${url}?t=1\nport:     web ${url}\nport:     api ${ports.api.url}\n`,
    );
    const json = await ephemeraWith({ putName }, 'name', 'put', 'pr-42', '--json');
    expect(JSON.parse(json.out)).toMatchObject({ name: 'pr-42', generation: 8, id: 'abc' });
  });

  test('put --wait fails for an instance that ends at once', async () => {
    const status = { ...instance.status, state: 'gone', reason: 'exited' } as const;
    const get: AdminApi['get'] = () => Promise.resolve({ ...instance, status });
    const ended = await ephemeraWith({ get }, 'name', 'put', 'pr-42', '--wait');
    expect(ended.calls).toEqual([['putName', 'pr-42', {}, {}, 60]]);
    expect([ended.code, ended.out]).toEqual([1, '']);
    expect(ended.err).toContain('abc ended right after it became ready (exited)');
  });

  test('get shows what --if-match takes, and the replacement that starts', async () => {
    const { out } = await ephemera('name', 'get', 'pr-42');
    expect(out).toMatch(
      /^name: +pr-42\ngeneration: +8\nremembered: +until 2026-01-31T.*\n\nid: +abc\n/,
    );
    expect(out).toMatch(new RegExp(`^url: +${url}$`, 'm'));
    expect((await ephemera('name', 'get', 'pr-42', '-q')).out).toBe(`${url}\n`);
    const status = { ...instance.status, state: 'starting', message: 'pulling the image' };
    const { instance: _instance, ...gone } = stable;
    const getName: AdminApi['getName'] = () =>
      Promise.resolve({ ...gone, next: { ...instance, id: 'def', status } });
    const replaced = await ephemeraWith({ getName }, 'name', 'get', 'pr-42');
    expect(replaced.out).toMatch(/^next: +def starting: pulling the image$/m);
    expect(replaced.out).toContain('The record of its instance has expired.\n');
  });

  test('ls shows both instances of a name', async () => {
    expect((await ephemera('name', 'ls')).out).toBe(
      [
        'NAME   TEMPLATE  STATE  LEFT  ID   NEXT  URL',
        `pr-42  demo      ready  1m1s  abc  -     ${url}`,
        `pr-43  demo      ready  1m1s  abc  def   ${url}`,
        'main   -         -      -     -    -     -\n',
      ].join('\n'),
    );
    expect((await ephemera('name', 'ls', '--quiet')).out).toBe('pr-42\npr-43\nmain\n');
    expect(JSON.parse((await ephemera('name', 'ls', '--json')).out)).toHaveLength(3);
  });

  test('rm says what it did', async () => {
    const { out } = await ephemera('name', 'rm', 'pr-42');
    expect(out).toBe('pr-42 is forgotten; its instances are ending\n');
    expect((await ephemera('name', 'rm', 'pr-42', '-q')).out).toBe('');
    const removeName = () => Promise.reject(new BootError('The name has generation 9.'));
    const refused = await ephemeraWith({ removeName }, 'name', 'rm', 'pr-42', '--if-match', '8');
    expect([refused.code, refused.err]).toEqual([1, 'The name has generation 9.\n']);
  });
});

test('exec passes on options and output, and ends with the code of the command', async () => {
  const { code, out, err, calls } = await ephemera(
    ...['exec', '--cwd', '/work', '--env', 'A=b', '--timeout', '30s', '--user', '1', 'abc', '--'],
    ...['sh', '-c', 'echo "$1"', '--timeout'],
  );
  expect(code).toBe(42);
  // Unchanged, also where it would control a terminal.
  expect(out).toBe('out\x1b[1m\n');
  expect(err).toBe('err\n');
  const options = { cwd: '/work', env: { A: 'b' }, timeout: 30, user: '1', keepStdin: false };
  const cmd = ['sh', '-c', 'echo "$1"', '--timeout'];
  expect(calls[0]).toEqual(['spawn', 'abc', cmd, options]);
});

test.each([
  [{ state: 'killed', reason: 'timeout' }, 124],
  [{ state: 'killed', reason: 'ttl' }, 137],
  [{ state: 'lost' }, 137],
] as const)('exec of a command that is %o ends with %i', async (end, expected) => {
  const spawn: AdminApi['spawn'] = () =>
    Promise.resolve({
      async *output() {
        return await Promise.resolve(end);
      },
    } as Partial<RunningCommand> as RunningCommand);
  const { code, err } = await ephemeraWith({ spawn }, 'exec', 'abc', 'true');
  expect(code).toBe(expected);
  expect(err).toContain('The command was killed');
});

describe('token', () => {
  test('prints a token and its line for ephemera.yml', async () => {
    const { out } = await ephemera('token', 'ci', '--scope', 'create', '--scope', 'read');
    const value = out.split('\n')[0] ?? '';
    expect(value).toMatch(/^eph_[\w-]{43}$/);
    const line = out.trimEnd().split('\n').at(-1) ?? '';
    const config = `templates: { demo: { image: a, port: 80 } }\ntokens:\n${line}`;
    const tokens = createTokens('an-admin-of-some-kind', () => parseTemplates(config).tokens);
    expect(tokens.identify(value)).toMatchObject({ name: 'ci', scopes: ['create', 'read'] });
    expect(out.match(new RegExp(value, 'g'))).toHaveLength(1);
  });

  test('differs each time', async () => {
    const values = [];
    for (let i = 0; i < 100; i++)
      values.push((await ephemera('token', 'a', '-q', '--scope=read')).out);
    expect(new Set(values).size).toBe(100);
  });
});

describe('renew', () => {
  const renew = (...inputs: string[]) => ephemera('renew', 'abc', ...inputs);

  test('says what it did', async () => {
    const later = await renew('--timeout', '30m');
    expect(later.code).toBe(0);
    expect(later.calls).toEqual([['renew', 'abc', 1800, false]]);
    expect(later.out).toMatch(
      /^The deadline moved from 2026-01-01T00:01:31.000Z to 2026-01-01T00:30:30.000Z\.\n/,
    );
    const limited = await renew('--timeout', '2h');
    expect(limited.code).toBe(0);
    expect(limited.out).toMatch(
      / to 2026-01-01T01:01:31.000Z, the latest that maxTimeout allows\.\n/,
    );
  });

  test('says that it moved nothing', async () => {
    const renewal = {
      outcome: 'unchanged',
      previousExpiresAt: instance.expiresAt,
      isAtMaximum: true,
    } as const;
    const api = { renew: () => Promise.resolve({ ...instance, renewal }) };
    const { code, out } = await ephemeraWith(api, 'renew', 'abc', '--timeout', '1h');
    expect(code).toBe(0);
    expect(out).toContain(
      `The deadline stays at ${instance.expiresAt}, the latest that maxTimeout allows.`,
    );
  });

  test('fails for a renewal that the API refuses, and passes --shorten on', async () => {
    const { problem } = problemOf({ kind: 'renewal_earlier', id: 'abc', expiresAt: now });
    const refusal = explain(new ProblemError(problem as Problem));
    const api = { renew: () => Promise.reject(new BootError(refusal)) };
    const refused = await ephemeraWith(api, 'renew', 'abc', '--timeout', '10s');
    expect([refused.code, refused.out]).toEqual([1, '']);
    expect(refused.err).toMatch(/stays at 2026-01-01T00:00:30.000Z.*`ephemera renew --shorten`/);
    const done = await renew('--timeout', '10s', '--shorten');
    expect(done.code).toBe(0);
    expect(done.out).toContain('to 2026-01-01T00:00:40.000Z.');
    expect(done.calls.at(-1)).toEqual(['renew', 'abc', 10, true]);
  });
});

describe('check', () => {
  const written = (text: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'ephemera-check-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'ephemera.yml');
    writeFileSync(file, text);
    return file;
  };

  test('prints every error with its line', async () => {
    const file = written('templates:\n  a: { image: a }\n  b: { image: b, port: 80, prot: 1 }\n');
    const { code, out, err, calls } = await ephemera('check', file);
    expect([code, out, calls]).toEqual([1, '', []]);
    expect(err).toContain('templates.a.port: give either port or ports (line 2)');
    expect(err).toMatch(/templates\.b\.prot: unknown field.*\(line 3\)/);
    const json = await ephemera('check', file, '--json');
    expect([json.code, JSON.parse(json.out)]).toEqual([
      1,
      { valid: false, file, issues: [expect.anything(), expect.anything()] },
    ]);
    expect((await ephemera('check', `${file}.absent`)).code).toBe(1);
  });

  test('accepts a valid file, and says what this environment lacks', async () => {
    const file = written(`templates: {a: {image: a, port: 80, proofOfWork: 8}}
webhooks: [{name: w, url: "http://w.example/", secretEnv: NOWHERE_SET}]
registries: {ghcr.io: {username: me, passwordEnv: NO_PASSWORD}}`);
    const { code, out } = await ephemera('check', file);
    expect(code).toBe(0);
    expect(out).toContain(`${file} is valid. Templates: a.`);
    expect(out).toContain('webhooks.0.secretEnv: the environment variable NOWHERE_SET');
    expect(out).toContain('registries.ghcr.io.passwordEnv: the environment variable NO_PASSWORD');
    expect(out).toContain('templates.a.proofOfWork: needs EPHEMERA_SIGNING_KEYS');
    expect(await ephemera('check', file, '--quiet')).toMatchObject({ code: 0, out: '' });
  });

  test('without an argument, checks the file of the project', async () => {
    expect((await ephemera('check')).out).toContain('is valid. Templates: demo.');
  });
});

describe('completion', () => {
  const propose = async (...words: string[]) =>
    (await ephemera('__complete', ...words)).out.split('\n').slice(0, -1);

  test('proposes commands, options, values, ids and templates', async () => {
    expect(await propose('')).toEqual(COMMANDS);
    expect(await propose('l')).toEqual(['ls', 'logs', 'link']);
    expect(await propose('name', '')).toEqual(['put', 'get', 'ls', 'rm']);
    expect(await propose('name', 'rm', 'pr-4')).toEqual(['pr-42', 'pr-43']);
    expect(await propose('name', 'put', 'new', '')).toEqual(['demo']);
    expect(await propose('kill', '--')).toEqual(['--all', '--json', '--quiet', '--raw']);
    expect(await propose('token', 'a', '--scope', '')).toEqual(['read', 'create', 'exec', 'admin']);
    expect(await propose('token', 'a', '--scope=r')).toEqual(['--scope=read']);
    expect(await propose('get', '')).toEqual(['abc', 'def']);
    expect(await propose('kill', 'abc', 'd')).toEqual(['def']);
    expect(await propose('run', '')).toEqual(['demo']);
    expect(await propose('completion', 'f')).toEqual(['fish']);
    expect(await propose('nothing', '')).toEqual([]);
  });

  test('proposes nothing if the control API does not answer', async () => {
    const context = {
      ...createContext({ stdout: { write: () => true }, stderr: { write: () => true } }),
      api: () => {
        throw new BootError('No control API answers.');
      },
    };
    expect(await runCli(['__complete', 'get', ''], context)).toBe(0);
  });

  test('works in bash', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ephemera-completion-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const program = join(folder, 'ephemera');
    const main = join(import.meta.dirname, 'main.ts');
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    chmodSync(program, 0o755);
    const script = `source <(ephemera completion bash)
propose() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _ephemera; echo "\${COMPREPLY[*]}"; }
propose ephemera l
propose ephemera completion ''
propose ephemera token a --scope = c`;
    const { stdout } = await promisify(execFile)('bash', ['-c', script], {
      env: { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` },
    });
    expect(stdout).toBe('ls logs link\nbash zsh fish\ncreate\n');
  });
});

describe('run --wait', () => {
  const fresh = { ...instance, startedAt: new Date(now).toISOString() };
  const create = () => Promise.resolve(fresh);

  test('fails if the instance exits right after it became ready, with its log and a hint', async () => {
    let reads = 0;
    const get = () =>
      Promise.resolve<InstanceResource>({
        ...fresh,
        status: {
          ...fresh.status,
          ...(++reads > 3 && {
            state: 'failed',
            reason: 'start_failed',
            message: 'The container exited with code 1. Its last lines:\nEROFS',
            hint: { code: 'read_only_root', text: 'It wrote to /data.', cure: 'readOnly: false' },
          }),
        },
      });
    const { code, out, err } = await ephemeraWith({ create, get }, 'run', '--wait');
    expect(code).not.toBe(0);
    expect(out).toBe('');
    expect(err).toMatch(
      /^abc ended right after it became ready \(start_failed\): The container exited with code 1\. Its last lines:\nEROFS\nHint: It wrote to \/data\.\nIn the template:\n {4}readOnly: false\n$/,
    );
  });

  test('prints the address of an instance that it could not read again, and says so', async () => {
    const get = () => Promise.reject(new Error('503'));
    const { code, out, err } = await ephemeraWith({ create, get }, 'run', '--wait');
    expect({ code, out }).toEqual({ code: 0, out: 'abc  http://localhost:8080/demo/abc/\n' });
    expect(err).toMatch(/^abc became ready\. .*could not be read: 503\n.*ephemera get abc\n$/);
  });

  test.each([true, false])('shows the steps of the start on a terminal only: %s', async (isTTY) => {
    const err: string[] = [];
    const api = {
      ...recordingApi([]),
      create: (_request, _wait, onProgress) => {
        onProgress?.({ id: 'abc', state: 'starting', message: 'pulling the image\u001b[2J' });
        return Promise.resolve(fresh);
      },
    } satisfies AdminApi;
    const stderr = { write: (text: string) => err.push(text), isTTY };
    const context = {
      ...createContext({ stdout: { write: () => true }, stderr }),
      api: () => api,
      sleep: () => Promise.resolve(),
    };
    expect(await runCli(['run', '--wait'], context)).toBe(0);
    expect(err).toEqual(isTTY ? ['abc is starting: pulling the image\\u001b[2J\n'] : []);
  });

  test('prints the address of an instance that is not known to be ready, and fails', async () => {
    const created = { ...fresh, link: 'http://l/?t=secret' };
    const late = () => Promise.reject(new StartUnfinishedError('It is starting', created, {}));
    const { code, out, err } = await ephemeraWith({ create: late }, 'run', '--wait');
    expect({ code, out }).toEqual({ code: 1, out: 'abc  http://l/?t=secret\n' });
    expect(err).toBe('It is starting\nWatch it with: ephemera get abc\n');
    const json = await ephemeraWith({ create: late }, 'run', '--wait', '--json');
    expect(JSON.parse(json.out)).toMatchObject({ id: 'abc', link: 'http://l/?t=secret' });
  });

  test('waits a minute for the start, and then reads the state', async () => {
    const { calls } = await ephemera('run', 'demo', '--timeout', '1m', '--wait');
    expect(calls).toEqual([
      ['create', { template: 'demo', timeout: 60 }, 60],
      ['get', 'abc'],
    ]);
  });

  test('the last read counts', async () => {
    for (const [succeeds, isKnown] of [
      [(read: number) => read === 1, false],
      [(read: number) => read === 10, true],
    ] as const) {
      let reads = 0;
      const get = () =>
        succeeds(++reads) ? Promise.resolve(fresh) : Promise.reject(new Error('503'));
      const { code, err } = await ephemeraWith({ create, get }, 'run', '--wait');
      expect({ code, isKnown: err === '' }).toEqual({ code: 0, isKnown });
      expect(reads).toBe(10);
    }
  });

  test('reads the state once where the clock of the client is ahead', async () => {
    const startedAt = new Date(now - 60_000).toISOString();
    const early = () => Promise.resolve({ ...fresh, startedAt });
    const status = { ...fresh.status, state: 'failed', reason: 'exited' } as const;
    const get = () => Promise.resolve<InstanceResource>({ ...fresh, status });
    const { code, err } = await ephemeraWith({ create: early, get }, 'run', '--wait');
    expect(code).not.toBe(0);
    expect(err).toContain('ended right after it became ready (exited)');
  });

  test.each(['ttl', 'idle', 'request', 'host_drained'] as const)(
    'a planned end is no failure: %s',
    async (reason) => {
      const status = { ...fresh.status, state: 'gone', reason } as const;
      const get = () => Promise.resolve<InstanceResource>({ ...fresh, status });
      expect((await ephemeraWith({ create, get }, 'run', '--wait')).code).toBe(0);
    },
  );

  test('prints the address of an instance that stays up', async () => {
    let reads = 0;
    const get = () => {
      reads++;
      return Promise.resolve(fresh);
    };
    const { code, out } = await ephemeraWith({ create, get }, 'run', '--wait');
    expect({ code, out }).toEqual({ code: 0, out: 'abc  http://localhost:8080/demo/abc/\n' });
    expect(reads).toBe(10);
  });
});

test('get shows the hint of an instance that failed', async () => {
  const hint = { code: 'permission_denied', text: 'Denied.', cure: 'user: image' } as const;
  const get = () => Promise.resolve({ ...instance, status: { ...instance.status, hint } });
  const { out } = await ephemeraWith({ get }, 'get', 'abc');
  expect(out).toContain('\nHint: Denied.\nIn the template:\n    user: image\n');
});

describe('host', () => {
  /** The host while it is drained, with this number of instances left. */
  const draining = (instances: number, deadline?: string): HostResource => ({
    ...machine,
    instances,
    cordon: {
      since: '2026-01-01T00:00:00.000Z',
      drain: { ...(deadline !== undefined && { deadline }), done: instances === 0 },
    },
  });

  test('ls shows capacity and cordon', async () => {
    const cordon = { since: '2026-01-01T00:00:00.000Z' };
    const deadline = '2026-01-01T00:02:00.000Z';
    const list: HostResource[] = [
      machine,
      { ...machine, name: 'h2', alive: false, networks: [], cordon },
      { ...draining(2, deadline), name: 'h3' },
      { ...draining(0), name: 'h4' },
    ];
    const { out } = await ephemeraWith({ hosts: () => Promise.resolve(list) }, 'host', 'ls');
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['HOST', 'STATE', 'CORDON', 'INSTANCES', 'MEMORY', 'CPUS', 'NETWORKS'],
      ['h1', 'alive', '-', '2/8', '512m/1024m', '1', '10.231.0.0/16'],
      ['h2', 'unavailable', 'cordoned', '2/8', '512m/1024m', '1', '-'],
      ['h3', 'alive', 'draining, 1m30s left', '2/8', '512m/1024m', '1', '10.231.0.0/16'],
      ['h4', 'alive', 'drained', '0/8', '512m/1024m', '1', '10.231.0.0/16'],
      [''],
    ]);
  });

  test('cordon and uncordon name the host', async () => {
    const cordon = await ephemera('host', 'cordon', 'h2');
    expect(cordon.calls).toEqual([['cordon', 'h2']]);
    expect(cordon.out).toContain('ephemera host uncordon h2');
    expect((await ephemera('host', 'uncordon', 'h2')).calls).toEqual([['uncordon', 'h2']]);
  });

  test('drain waits until no instance is left, and says when the machine may go', async () => {
    const left = [2, 2, 1, 0];
    const { code, out, err } = await ephemeraWith(
      {
        drainHost: () => Promise.resolve(draining(3)),
        host: () => Promise.resolve(draining(left.shift() ?? 0)),
      },
      ...['host', 'drain', 'h1'],
    );
    expect(code).toBe(0);
    expect(err).toBe('h1: 3 instances left.\nh1: 2 instances left.\nh1: 1 instance left.\n');
    expect(out).toContain('Its machine may be switched off.');
  });

  test('drain passes its deadline, and does not wait with --no-wait', async () => {
    const { calls, out, err } = await ephemeraWith(
      { host: () => Promise.reject(new Error('It waits.')) },
      ...['host', 'drain', 'h1', '--deadline', '30m', '--no-wait', '--json'],
    );
    expect(calls).toEqual([['drainHost', 'h1', 1800]]);
    expect(err).toBe('');
    expect(JSON.parse(out)).toMatchObject({ name: 'h1' });
  });

  test('drain fails if another command ended it', async () => {
    const { code, out } = await ephemeraWith(
      { drainHost: () => Promise.resolve(draining(3)), host: () => Promise.resolve(machine) },
      ...['host', 'drain', 'h1'],
    );
    expect(code).toBe(1);
    expect(out).toContain('h1 is no longer being drained');
  });

  test('drain waits while a proxy restarts, and gives up after a minute', async () => {
    const silent = () => Promise.reject(new ApiUnavailableError('No control API answers.'));
    const replies = [silent, silent, () => Promise.resolve(draining(0))];
    const restarted = await ephemeraWith(
      {
        drainHost: () => Promise.resolve(draining(3)),
        host: () => replies.shift()?.() ?? silent(),
      },
      ...['host', 'drain', 'h1'],
    );
    expect(restarted.code).toBe(0);
    expect(restarted.err.match(/No control API answers\. Trying again\./g)).toHaveLength(1);
    const gone = await ephemeraWith(
      { drainHost: () => Promise.resolve(draining(3)), host: silent },
      ...['host', 'drain', 'h1'],
    );
    expect(gone.code).toBe(1);
  });

  test('drain fails at once if the control API refuses the token or the host', async () => {
    let reads = 0;
    const { code, err } = await ephemeraWith(
      {
        drainHost: () => Promise.resolve(draining(3)),
        host: () => {
          reads++;
          return Promise.reject(new BootError('Not found.'));
        },
      },
      ...['host', 'drain', 'h1'],
    );
    expect({ code, reads }).toEqual({ code: 1, reads: 1 });
    expect(err).toContain('Not found.');
    expect(err).not.toContain('Trying again');
  });

  test('drain says that a container may be left that Redis does not know', async () => {
    const unknown = { ...draining(0), cordon: { since: '', drain: { done: false } } };
    const { err } = await ephemeraWith(
      { drainHost: () => Promise.resolve(unknown), host: () => Promise.resolve(draining(0)) },
      ...['host', 'drain', 'h1'],
    );
    expect(err).toContain('no instance is recorded');
  });

  test('drain says that nothing ends instances while no worker answers', async () => {
    const hosts = [{ ...draining(2), alive: false }, draining(0)];
    const { err } = await ephemeraWith(
      {
        drainHost: () => Promise.resolve(draining(3)),
        host: () => Promise.resolve(hosts.shift() ?? machine),
      },
      ...['host', 'drain', 'h1'],
    );
    expect(err).toContain('No worker of the host answers.');
  });
});

test.each([
  ['--env', 'A'],
  ['--env', '=1'],
  ['--env', 'A=1', '--env', 'A=2'],
  ['--metadata', 'a=1', '--metadata', 'a=1'],
])('run %s %s … is refused, and starts nothing', async (...words) => {
  const { code, calls, err } = await ephemera('run', ...words);
  expect([code, calls]).toEqual([2, []]);
  expect(err).toContain(words[0]);
});

describe('the first characters of an id', () => {
  const ids = ['a1b2', 'a1c3', 'b4d5'].map((text) => text.padEnd(26, 'x'));
  const list = () => Promise.resolve(ids.map((id) => ({ ...instance, id })));

  test.each([
    ['get b', ['get', ids[2]]],
    ['get a1c', ['get', ids[1]]],
    ['renew b --timeout 1h', ['renew', ids[2], 3600, false]],
    ['pause b', ['pause', ids[2]]],
    ['resume b', ['resume', ids[2]]],
    ['logs b', ['logs', ids[2], { follow: false, timestamps: false }]],
    ['stats b', ['usage', ids[2]]],
    ['kill b', ['kill', ids[2]]],
    [`get ${'z'.repeat(26)}`, ['get', 'z'.repeat(26)]],
  ])('%s means one instance', async (line, call) => {
    const { code, calls } = await ephemeraWith({ list }, ...line.split(' '));
    expect([code, calls]).toEqual([0, [call]]);
  });

  test('of several instances reads the list once', async () => {
    let reads = 0;
    const counted = () => {
      reads++;
      return list();
    };
    const [first, second, third] = ids;
    const { calls } = await ephemeraWith({ list: counted }, ...['kill', 'b', 'a1c', first ?? '']);
    expect(calls).toEqual([third, second, first].map((id) => ['kill', id]));
    expect(reads).toBe(1);
    await ephemeraWith({ list: counted }, 'kill', first ?? '', second ?? '');
    expect(reads).toBe(1);
  });

  test('an empty text means none, even where one instance lives', async () => {
    const one = () => Promise.resolve([instance]);
    const { code, calls } = await ephemeraWith({ list: one }, 'kill', '');
    expect([code, calls]).toEqual([2, []]);
  });

  test.each([
    ['get a1', /^2 instances have an id that begins with "a1": a1b2x+, a1c3x+\./],
    ['get z', /^No live instance has an id that begins with "z"/],
    // Nothing is ended if one of the names is not clear.
    ['kill b a1', /^2 instances have an id/],
  ])('%s is refused', async (line, message) => {
    const { code, err, calls } = await ephemeraWith({ list }, ...line.split(' '));
    expect([code, calls]).toEqual([1, []]);
    expect(err).toMatch(message);
  });
});

test('templates, stats and events print tables and lines', async () => {
  expect((await ephemera('templates', '--quiet')).out).toBe('demo\n');
  expect((await ephemera('stats')).out).toBe(
    'instances:  3\ncapacity:   9\navailable:  unlimited\n',
  );
  expect(
    (await ephemera('stats', 'abc')).out.split('\n').map((line) => line.split(/ {2,}/)),
  ).toEqual([
    ['cpu:', '1.3 s'],
    ['memory:', '3.0 MiB of 256.0 MiB'],
    ['processes:', '4'],
    ['received:', '900 B'],
    ['sent:', '2.0 KiB'],
    [''],
  ]);
  const { code, out, err, calls } = await ephemera('events', '--type', 'gone,failed');
  expect(calls).toEqual([['events', { type: ['gone', 'failed'] }]]);
  expect(out).toBe('2026-01-01T00:00:29.000Z  gone      abc  demo  (ttl)\n');
  expect(err).toContain('no longer stored');
  expect(err).toContain('The token was revoked.');
  expect(code).toBe(1);
  expect(JSON.parse((await ephemera('events', '--json')).out)).toEqual(event);
});
