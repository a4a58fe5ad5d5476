import { describe, expect, test } from 'vitest';
import { hintFor } from './hint.ts';
import type { FailedRun, Hint } from './hint.ts';
import type { Template } from './template.ts';

const TEMPLATE: Template = {
  ...{ name: 'demo', image: 'demo', port: 8080, ports: { web: 8080 }, user: '65534:65534' },
  ...{ timeout: 60_000, maxTimeout: 3_600_000, idleTimeout: undefined, activity: 'connections' },
  ...{ ready: { kind: 'tcp', within: 30_000 }, stopGrace: 0, command: undefined, env: {} },
  limits: { memory: 64 * 1024 ** 2, cpus: 0.5, pids: 64 },
  ...{ readOnly: true, tmpfs: { '/tmp': { size: 8 * 1024 ** 2, exec: false } }, capAdd: [] },
  ...{ egress: false, stripPrefix: true, host: 'pass' },
  ...{ whenFull: 'refuse', maxQueued: 10, queueTimeout: 60_000, pool: 0, poolMaxAge: 60_000 },
  schedule: [],
};

const of = (
  log: string | readonly string[],
  template: Partial<Template> = {},
  run: Partial<FailedRun> = { exitCode: 1 },
): Hint | undefined =>
  hintFor({
    log: typeof log === 'string' ? log.split('\n') : log,
    template: { ...TEMPLATE, ...template },
    ...run,
  });

describe('a read-only root', () => {
  test.each([
    [
      'nginx: [emerg] mkdir() "/var/cache/nginx/client_temp" failed (30: Read-only file system)',
      'tmpfs: { /var/cache/nginx: 64m }',
    ],
    ["OSError: [Errno 30] Read-only file system: '/data/db.sqlite'", 'tmpfs: { /data: 64m }'],
    [
      "Error: EROFS: read-only file system, open '/var/lib/app/state'",
      'tmpfs: { /var/lib/app: 64m }',
    ],
    ['touch: /run/app.pid: Read-only file system', 'tmpfs: { /run: 64m }'],
    ["mkdir: can't create directory '/work': Read-only file system", 'tmpfs: { /work: 64m }'],
    ["OSError: [Errno 30] Read-only file system: '/home/jovyan/.local'", 'readOnly: false'],
    ["sh: can't create /etc/app.conf: Read-only file system", 'readOnly: false'],
    [
      'Os { code: 30, kind: ReadOnlyFilesystem, message: "Read-only file system" }',
      'readOnly: false',
    ],
    ['open: EROFS', 'readOnly: false'],
  ])('%s', (line, cure) => {
    expect(of(line)).toMatchObject({ code: 'read_only_root', cure });
  });

  test.each([
    ['/data/{a}/x', 'tmpfs: { "/data/{a}": 64m }'],
    ['/data/#1/x', 'tmpfs: { "/data/#1": 64m }'],
    ['/data/\uFFFD/x', 'readOnly: false'],
    ['/data/\u001B[1m/x', 'readOnly: false'],
  ])('the cure is YAML, whatever the path is: %j', (path, cure) => {
    expect(of(`touch: ${path}: Read-only file system`)).toMatchObject({ cure });
  });

  test('no line of the template makes /proc and /sys writable', () => {
    const line = "sysctl: can't write to '/proc/sys/net/core/somaxconn': Read-only file system";
    const hint = of(line);
    expect(hint).toMatchObject({ code: 'read_only_root' });
    expect(hint?.cure).toBeUndefined();
  });
});

describe('permission denied', () => {
  test.each([
    "PermissionError: [Errno 13] Permission denied: '/data/x'",
    "Error: EACCES: permission denied, mkdir '/home/node/.cache'",
    "sh: can't create /var/lib/x: Permission denied",
    'open /config.json: permission denied',
    'java.nio.file.AccessDeniedException: /opt/app/logs',
    'nginx: [emerg] open() "/run/nginx.pid" failed (13: Permission denied)',
    'Os { code: 13, kind: PermissionDenied, message: "Permission denied" }',
  ])('%s', (line) => {
    expect(of(line)).toMatchObject({ code: 'permission_denied', cure: 'user: image' });
  });

  test('of the user of the image is a missing capability of root', () => {
    expect(of('cat: /etc/shadow: Permission denied', { user: undefined })).toMatchObject({
      code: 'permission_denied',
      cure: 'capAdd: [DAC_OVERRIDE]',
    });
  });

  test('for a program on a tmpfs is its option noexec', () => {
    expect(of('sh: /tmp/tool: Permission denied', {}, { exitCode: 126 })).toMatchObject({
      code: 'no_exec',
      cure: 'tmpfs: { /tmp: { size: 8m, exec: true } }',
    });
    const library = 'libfoo.so: failed to map segment from shared object';
    expect(of(library)).toMatchObject({ code: 'no_exec' });
  });
});

describe('a port below 1024', () => {
  test.each([
    'nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)',
    'Error: listen EACCES: permission denied 0.0.0.0:443',
    'listen tcp :80: bind: permission denied',
    '(13)Permission denied: AH00072: make_sock: could not bind to address [::]:80',
    'Bind to port 22 on 0.0.0.0 failed: Permission denied',
  ])('%s', (line) => {
    expect(of(line, { user: undefined })).toMatchObject({
      code: 'missing_capability',
      cure: 'capAdd: [NET_BIND_SERVICE]',
    });
  });
});

describe('a missing capability', () => {
  test.each([
    ['chown: /data: Operation not permitted', 'CHOWN'],
    ["chown: changing ownership of '/var/lib/redis': Operation not permitted", 'CHOWN'],
    [
      'nginx: [emerg] chown("/var/cache/nginx/x", 101) failed (1: Operation not permitted)',
      'CHOWN',
    ],
    ["    os.chown(path, 1, 1)\nPermissionError: [Errno 1] Operation not permitted: '/x'", 'CHOWN'],
    ['setgid(101) failed (1: Operation not permitted)', 'SETUID, SETGID'],
    ['setuid: Operation not permitted', 'SETUID, SETGID'],
    ['error: failed switching to "redis": operation not permitted (gosu)', 'SETUID, SETGID'],
    ["su: can't set groups: Operation not permitted", 'SETUID, SETGID'],
    ['Error: EPERM: operation not permitted, setgroups', 'SETUID, SETGID'],
    ['ping: permission denied (are you root?)', 'NET_RAW'],
    ['ping: socket: Operation not permitted', 'NET_RAW'],
    ['socket: SOCK_RAW: Operation not permitted', 'NET_RAW'],
    ['chmod: /data: Operation not permitted', 'FOWNER'],
  ])('%s', (log, names) => {
    const cure = `capAdd: [${names}]`;
    expect(of(log, { user: undefined })).toMatchObject({ code: 'missing_capability', cure });
    // Docker gives added capabilities to root only.
    expect(of(log)).toMatchObject({ cure: `user: image\n${cure}` });
  });

  test('is added to those that the template has', () => {
    const template = { user: undefined, capAdd: ['KILL'] };
    expect(of('chown: /data: Operation not permitted', template)?.cure).toBe(
      'capAdd: [KILL, CHOWN]',
    );
  });

  test.each([
    'mount: permission denied (are you root?)',
    'unshare(0x10000000): Operation not permitted',
    'RTNETLINK answers: Operation not permitted',
  ])('that gives control over the host is refused: %s', (line) => {
    const hint = of(line, { user: undefined });
    expect(hint).toMatchObject({ code: 'capability_refused' });
    expect(hint?.text).toMatch(/SYS_ADMIN|NET_ADMIN/);
    expect(hint?.cure).toBeUndefined();
  });

  test('of an unknown call names the profile', () => {
    expect(of('frobnicate: Operation not permitted')).toMatchObject({
      code: 'missing_capability',
      cure: 'profile: docker',
    });
  });
});

describe('no space', () => {
  test.each([
    ["OSError: [Errno 28] No space left on device: '/tmp/x'", 'tmpfs: { /tmp: 32m }'],
    ["Error: ENOSPC: no space left on device, write '/tmp/a/b'", 'tmpfs: { /tmp: 32m }'],
    ['dd: error writing: No space left on device', 'tmpfs: { /tmp: 32m }'],
    ['write /dev/shm/x: no space left on device', 'shmSize: 256m'],
    [
      'could not resize shared memory segment "/PostgreSQL.1": No space left on device',
      'shmSize: 256m',
    ],
  ])('%s', (line, cure) => {
    expect(of(line)).toMatchObject({ code: 'no_space', cure });
  });

  test('for file watchers is not a full disk', () => {
    const line = "Error: ENOSPC: System limit for number of file watchers reached, watch '/app'";
    expect(of(line)).toMatchObject({ code: 'file_watchers' });
  });

  test('elsewhere is on the disk of the host', () => {
    const hint = of("cp: error writing '/data/x': No space left on device");
    expect(hint).toMatchObject({ code: 'no_space' });
    expect(hint?.cure).toBeUndefined();
  });
});

describe('memory', () => {
  test('a container that the kernel ended names the limit, whatever its log says', () => {
    expect(of('chown: Operation not permitted', {}, { exitCode: 137, oomKilled: true })).toEqual({
      code: 'out_of_memory',
      text: 'It needs more memory than its limit of 64m. A tmpfs and /dev/shm count as memory.',
      cure: 'limits: { memory: 128m }',
    });
  });

  test.each([
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
    'java.lang.OutOfMemoryError: Java heap space',
    'OSError: [Errno 12] Cannot allocate memory',
    "terminate called after throwing an instance of 'std::bad_alloc'",
  ])('%s', (line) => {
    expect(of(line)).toMatchObject({ code: 'out_of_memory' });
  });
});

test.each([
  "RuntimeError: can't start new thread",
  'sh: fork: retry: Resource temporarily unavailable',
  "sh: can't fork: Resource temporarily unavailable",
  'Error: spawn /bin/sh EAGAIN',
  'java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory',
  'runtime: failed to create new OS thread (have 5 already; errno=11)',
  'BlockingIOError: [Errno 11] Resource temporarily unavailable',
  'pthread_create failed: Resource temporarily unavailable',
])('too many processes: %s', (line) => {
  expect(of(line)).toMatchObject({ code: 'too_many_processes', cure: 'limits: { pids: 128 }' });
});

test('another EAGAIN is not about processes', () => {
  expect(of('recv: Resource temporarily unavailable')).toBeUndefined();
});

test.each([
  'exec /app/server: exec format error',
  'exec user process caused: exec format error',
  'OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/x": exec format error',
])('another platform: %s', (line) => {
  expect(of(line)).toMatchObject({ code: 'wrong_platform' });
});

test.each([
  ['OCI runtime create failed: exec: "serve": executable file not found in $PATH', 127],
  ['[FATAL tini (7)] exec /no/such failed: No such file or directory', 127],
  [
    'runc create failed: starting container process caused: exec: "/x": stat /x: no such file or directory',
    127,
  ],
  ['/bin/sh: serve: not found', 127],
  ['bash: line 1: serve: command not found', 127],
])('a program that is not in the image: %s', (line, exitCode) => {
  const hint = of(line, { command: ['serve'] }, { exitCode });
  expect(hint).toMatchObject({ code: 'program_not_found' });
  expect(hint?.text).toContain('Correct `command`');
});

describe('a server on 127.0.0.1', () => {
  test.each([
    'INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)',
    ' * Running on http://127.0.0.1:5000',
    '  ➜  Local:   http://localhost:5173/',
    'Listening on [::1]:3000',
    'Starting development server at http://127.0.0.1:8000/',
  ])('%s', (line) => {
    expect(of(line, {}, { refused: true })).toMatchObject({ code: 'loopback_only' });
    // Others print such an address although they listen on all interfaces.
    expect(of(line, {}, { refused: false })).toBeUndefined();
    expect(of(line, {}, { exitCode: 1, refused: true })).toBeUndefined();
  });
});

test('the last line that matches decides', () => {
  const log = [
    'can not modify /etc/nginx/conf.d/default.conf (read-only file system?)',
    'nginx: [emerg] mkdir() "/var/cache/nginx/client_temp" failed (13: Permission denied)',
    'bye',
  ];
  expect(of(log)).toMatchObject({ code: 'permission_denied' });
});

test('a log without a known cause has no hint', () => {
  expect(of('I cannot go on')).toBeUndefined();
  expect(of('GET / 200 OK')).toBeUndefined();
  expect(of([])).toBeUndefined();
});
