import { describe, expect, test } from 'vitest';
import { ConfigError } from './environment.ts';
import { loadTemplates, parseTemplates } from './template-config.ts';

const demo = (fields = '') => `templates: {demo: {image: a, port: 80, ${fields}}}`;

const issuesOf = (text: string) => {
  try {
    parseTemplates(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ path, detail }) => `${path}: ${detail}`);
  }
};

test.each(['image: *demo', 'image: **/app', '<<: *base'])(
  'an unresolved alias, %s, is reported as a ConfigError',
  (line) => {
    const faults = issuesOf(`templates: {demo: {port: 80}}\nother: { ${line} }`);
    expect(faults).toEqual([expect.stringMatching(/[Uu]nresolved alias.*needs quotes/)]);
  },
);

test('a template needs two fields; all others have defaults', () => {
  const { defaultTemplate, templates } = parseTemplates(demo());
  expect([...templates.keys()]).toEqual(['demo']);
  expect(defaultTemplate).toMatchObject({
    name: 'demo',
    image: 'a',
    port: 80,
    ports: { web: 80 },
    timeout: 1_800_000,
    maxTimeout: 1_830_000,
    idleTimeout: undefined,
    ready: { kind: 'auto', within: 30_000 },
    stopGrace: 5_000,
    limits: { memory: 268_435_456, cpus: 0.5, pids: 128 },
    command: undefined,
    env: {},
    user: '65534:65534',
    readOnly: true,
    tmpfs: { '/tmp': { size: 67_108_864, exec: false } },
    capAdd: [],
    egress: false,
    trusted: false,
    stripPrefix: true,
    host: 'pass',
    forwardIdentity: false,
  });
});

test.each(['command: ["a\\0b"]', 'env: {A: "a\\0b"}'])('refuses a NUL: %s', (field) => {
  expect(() => parseTemplates(demo(field))).toThrow(/must not contain a NUL character/);
});

test('reads every field with its units', () => {
  const { defaultTemplate } = parseTemplates(
    demo(`timeout: 90s, maxTimeout: 2h, idleTimeout: 10m, stopGrace: 250ms,
      limits: {memory: 1.5g, cpus: 2, pids: 10}, tmpfs: {/tmp: 8m}, user: "1000:1000",
      ready: {http: /health, status: "200-299,401", within: 1m}, command: [serve, "{port}"],
      env: {A: b}, readOnly: true, host: mask, stripPrefix: false,
      forwardIdentity: true`),
  );
  expect(defaultTemplate).toMatchObject({
    timeout: 90_000,
    maxTimeout: 7_200_000,
    idleTimeout: 600_000,
    stopGrace: 250,
    limits: { memory: 1_610_612_736, cpus: 2, pids: 10 },
    tmpfs: { '/tmp': { size: 8_388_608, exec: false } },
    user: '1000:1000',
    ready: {
      kind: 'http',
      path: '/health',
      status: [
        [200, 299],
        [401, 401],
      ],
      within: 60_000,
    },
    command: ['serve', '{port}'],
    forwardIdentity: true,
  });
});

test.each([
  ['auto', { kind: 'auto', within: 30_000 }],
  ['tcp', { kind: 'tcp', within: 30_000 }],
  ['{within: 2m}', { kind: 'auto', within: 120_000 }],
  ['{timeout: 5s, host: app.example}', { kind: 'auto', timeout: 5_000, host: 'app.example' }],
  ['{tcp: true, timeout: 5s}', { kind: 'tcp', within: 30_000, timeout: 5_000 }],
  [
    "{http: '{basePath}/api', host: 'app.example:80', timeout: 10s}",
    { kind: 'http', path: '{basePath}/api', host: 'app.example:80', timeout: 10_000 },
  ],
])('reads ready: %s', (text, ready) => {
  expect(parseTemplates(demo(`ready: ${text}`)).defaultTemplate).toMatchObject({ ready });
});

test('the first of several ports is the main port', () => {
  const text = 'templates: {ide: {image: a, ports: {web: 3000, debug: 9229}}}';
  expect(parseTemplates(text).defaultTemplate).toMatchObject({
    port: 3000,
    ports: { web: 3000, debug: 9229 },
  });
});

test('the default template is the named one, or the first', () => {
  const two = 'templates: {one: {image: a, port: 80}, two: {image: b, port: 80}}';
  expect(parseTemplates(two).defaultTemplate.name).toBe('one');
  expect(parseTemplates(`default: two\n${two}`).defaultTemplate.name).toBe('two');
});

const READY =
  'must be auto, tcp, {within, timeout, host}, {tcp: true, within, timeout} or {http: /path, status, host, within, timeout}';

test.each([
  ['templates: {}', ['templates: must have at least one']],
  ['', ['templates: is missing']],
  [
    'templates: {Demo: {image: a, port: 80}}',
    ['templates.Demo: names are lowercase letters, digits and hyphens, at most 41'],
  ],
  ['templates: {demo: null}', ['templates.demo: must be a mapping of names to values']],
  ['templates: {demo: {image: a}}', ['templates.demo.port: give either port or ports']],
  [demo('ports: {web: 80}'), ['templates.demo.port: give either port or ports']],
  [demo('ready: udp'), [`templates.demo.ready: ${READY}`]],
  [
    demo('ready: {htp: /x}'),
    [
      'templates.demo.ready.htp: unknown field; docs/reference/configuration.md lists the known ones',
    ],
  ],
  [demo('ready: {tcp: true, http: /}'), ['templates.demo.ready.tcp: give either tcp or http']],
  [
    demo('ready: {status: 200}'),
    ['templates.demo.ready.status: needs http, the path that is asked'],
  ],
  [demo('ready: {tcp: true, host: a}'), ['templates.demo.ready.host: has no effect with tcp']],
  [
    demo('ready: {http: x}'),
    ['templates.demo.ready.http: must be a path that starts with / or {basePath}/'],
  ],
  [
    demo('ready: {http: /a b}'),
    [
      'templates.demo.ready.http: must not contain spaces or characters outside ASCII; encode them with %',
    ],
  ],
  [
    demo('ready: {http: /, host: "a/b"}'),
    ['templates.demo.ready.host: must be a host such as app.example or app.example:8080'],
  ],
  [
    demo('ready: {http: /x, status: 99}'),
    ['templates.demo.ready.status: "99" is not a status such as 200 or 200-399'],
  ],
  [demo('ready: {http: /x, within: 10ms}'), ['templates.demo.ready.within: must be at least 1s']],
  [demo('env: {1a: b}'), ['templates.demo.env.1a: is not a valid variable name']],
  [demo('timeout: 0s'), ['templates.demo.timeout: must be at least 1s']],
  [demo('timeout: 5'), ['templates.demo.timeout: must be a duration such as 90s, 30m, 2h']],
  [demo('timeout: 1h, maxTimeout: 30m'), ['templates.demo.maxTimeout: must not be below timeout']],
  [
    demo('stopGrace: -5s'),
    ['templates.demo.stopGrace: "-5s" is not a duration such as 90s, 30m, 2h'],
  ],
  [demo('limits: {memory: 1m}'), ['templates.demo.limits.memory: must be at least 6m']],
  [
    demo('privileged: true'),
    [
      'templates.demo.privileged: unknown field; docs/reference/configuration.md lists the known ones',
    ],
  ],
  [
    demo('volumes: [/:/host]'),
    ['templates.demo.volumes: unknown field; docs/reference/configuration.md lists the known ones'],
  ],
  [`default: x\n${demo()}`, ['default: "x" is not a template; templates: demo']],
  [
    `${demo()}\nother: 1`,
    ['other: unknown field; docs/reference/configuration.md lists the known ones'],
  ],
])('%s', (text, expected) => {
  expect(issuesOf(text)).toEqual(expected);
});

test('each safe default can be disabled by its own field', () => {
  const { defaultTemplate } = parseTemplates(demo('user: image, readOnly: false, egress: true'));
  expect(defaultTemplate).toMatchObject({
    user: undefined,
    readOnly: false,
    tmpfs: {},
    egress: true,
  });
  const own = parseTemplates(demo('tmpfs: {/run: 1m, /tmp: 2m}')).defaultTemplate;
  expect(own.tmpfs).toEqual({
    '/run': { size: 1_048_576, exec: false },
    '/tmp': { size: 2_097_152, exec: false },
  });
  const more = parseTemplates(demo('tmpfs: {/run: {size: 1m, exec: true}}')).defaultTemplate;
  expect(more.tmpfs).toEqual({
    '/run': { size: 1_048_576, exec: true },
    '/tmp': { size: 67_108_864, exec: false },
  });
});

test('the profile docker changes the defaults, and single options still override it', () => {
  const allow = 'allow: {profiles: [docker]}';
  const { defaultTemplate } = parseTemplates(`${demo('profile: docker')}\n${allow}`);
  expect(defaultTemplate).toMatchObject({
    profile: 'docker',
    user: undefined,
    readOnly: false,
    tmpfs: {},
  });
  const single = demo('profile: docker, readOnly: true, user: www-data, capAdd: [CHOWN]');
  expect(parseTemplates(`${single}\n${allow}`).defaultTemplate).toMatchObject({
    user: 'www-data',
    readOnly: true,
    tmpfs: { '/tmp': { size: 67_108_864, exec: false } },
  });
  expect(issuesOf(demo('profile: docker'))).toEqual([
    'templates.demo.profile: "docker" is not in allow.profiles',
  ]);
});

test.each(['env: {A: "{token}"}', 'command: ["x", "--t={token}"]', 'entrypoint: ["{token}"]'])(
  'refuses %s where the visitor never learns the token',
  (field) => {
    expect(issuesOf(demo(field))[0]).toMatch(/a visitor who starts an instance never learns/);
    for (const more of ['create: token', 'access: token', 'access: owner']) {
      expect(issuesOf(demo(`${field}, ${more}`))).toEqual([]);
    }
  },
);

test('{{token}} and ${token} are no placeholders', () => {
  expect(issuesOf(demo('env: {A: "{{token}} ${token} {{ token }} {other}"}'))).toEqual([]);
});

test.each([
  ['tmpfs: {tmp: 1m}', 'templates.demo.tmpfs.tmp: must be an absolute path'],
  ['tmpfs: {/a/../b: 1m}', 'templates.demo.tmpfs./a/../b: must be an absolute path'],
  ['tmpfs: {/..: 1m}', 'templates.demo.tmpfs./..: must be an absolute path'],
  ['workingDir: /../x', 'templates.demo.workingDir: must be an absolute path'],
  ['workingDir: /.', 'templates.demo.workingDir: must be an absolute path'],
  ['tmpfs: {/a: {size: 1m, exe: true}}', 'templates.demo.tmpfs./a.exe: unknown field'],
  ['workingDir: app', 'templates.demo.workingDir: must be an absolute path'],
  ['hostname: "-a"', 'templates.demo.hostname: must be a host name'],
  ['shmSize: big', 'templates.demo.shmSize: "big" is not a size'],
  ['init: maybe', 'templates.demo.init: must be true or false, without quotes'],
  ['init: "false"', 'templates.demo.init: must be true or false, without quotes'],
  ['entrypoint: sh', 'templates.demo.entrypoint: must be a list, such as [a, b]'],
  ['env: {DEBUG: 1}', 'templates.demo.env.DEBUG: must be text; write it in quotes'],
  ['limits: {cpus: "1"}', 'templates.demo.limits.cpus: must be a number, without quotes'],
  ['ready: {http: /, status: 500-200}', 'templates.demo.ready.status: "500-200" begins above its'],
  ['title: "a\\0b"', 'templates.demo.title: must be one line of text'],
  ['title: "\\e"', 'templates.demo.title: must be one line of text'],
  ['env: {EPHEMERA_ID: x}', 'templates.demo.env.EPHEMERA_ID: is set by Ephemera'],
  ['user: -1', 'templates.demo.user: must be image, a user'],
  ['user: 1.5', 'templates.demo.user: must be image, a user'],
  ['user: 4294967295', 'templates.demo.user: must be image, a user'],
  ['tmpfs: {/: 1m}', 'templates.demo.tmpfs./: the root cannot be a tmpfs'],
  ['tmpfs: {//: 1m}', 'templates.demo.tmpfs.//: the root cannot be a tmpfs'],
  ['tmpfs: {/proc: 1m}', 'templates.demo.tmpfs./proc: /dev, /proc and /sys are of the kernel'],
  ['tmpfs: {//sys/fs: 1m}', 'templates.demo.tmpfs.//sys/fs: /dev, /proc and /sys are of the'],
  ['tmpfs: {/dev/: 1m}', 'templates.demo.tmpfs./dev/: /dev, /proc and /sys are of the kernel'],
  ['tmpfs: {"/a\\nb": 1m}', 'must be an absolute path'],
])('refuses %s', (field, message) => {
  expect(issuesOf(demo(field))[0]).toContain(message);
});

test('a user may be a number without quotes, and other mounts below /dev may be a tmpfs', () => {
  const fields = 'user: 1000, tmpfs: {/dev/shm: 1m, /process: 1m}';
  const { user, tmpfs } = parseTemplates(demo(fields)).defaultTemplate;
  expect(user).toBe('1000');
  expect(Object.keys(tmpfs)).toEqual(['/tmp', '/dev/shm', '/process']);
  expect(parseTemplates(demo('user: 0')).defaultTemplate.user).toBe('0');
});

test('every option that weakens the host and is not allowed is reported at once', () => {
  const text = `
templates:
  a: {image: a, port: 80, capAdd: [NET_BIND_SERVICE, NET_ADMIN], runtime: runsc}
  b: {image: b, port: 80, seccomp: unconfined, apparmor: loose, userns: host}
  c: {image: c, port: 80, userns: remapped}
`;
  expect(issuesOf(text)).toEqual([
    'templates.a.capAdd.0: "NET_BIND_SERVICE" is not in allow.capabilities',
    'templates.a.capAdd.1: "NET_ADMIN" is not in allow.capabilities',
    'templates.a.runtime: "runsc" is not in allow.runtimes',
    'templates.b.seccomp: "unconfined" is not in allow.seccomp',
    'templates.b.apparmor: "loose" is not in allow.apparmor',
    'templates.b.userns: "host" is not in allow.userns',
  ]);
  const allow = `allow: {capabilities: [NET_BIND_SERVICE, NET_ADMIN], runtimes: [runsc],
  seccomp: [unconfined], apparmor: [loose], userns: [host]}`;
  expect(issuesOf(text + allow)).toEqual([]);
});

test('a policy can restrict images to patterns and require digests', () => {
  const images = 'images: {allow: [ghcr.io/acme/*], requireDigest: true}';
  expect(issuesOf(`${demo()}\n${images}`)).toEqual([
    'templates.demo.image: "a" matches no pattern of images.allow. Docker may take it for the id of any image; write a name with its tag, such as "app:latest"',
    'templates.demo.image: "a" has no digest',
  ]);
  const image = `ghcr.io/acme/app@sha256:${'0a'.repeat(32)}`;
  expect(issuesOf(`templates: {demo: {image: "${image}", port: 80}}\n${images}`)).toEqual([]);
});

test.each([
  ['seccomp: loose.json', 'seccomp: must be unconfined, or the absolute path of a profile'],
  ['runtime: ../runc', 'runtime: is not a valid name'],
  ['apparmor: "a=b,c"', 'apparmor: is not a valid name'],
  ['userns: "container:x"', 'userns: Invalid option: expected one of "remapped"|"host"'],
  ['user: ""', 'user: must be image, a user, or user:group, such as 1000:1000'],
])('%s is refused', (fields, fault) => {
  expect(issuesOf(demo(fields))).toContain(`templates.demo.${fault}`);
});

test('labels with the reserved prefix are refused', () => {
  const { defaultTemplate } = parseTemplates(demo("labels: {team: core, com.example/tier: '1'}"));
  expect(defaultTemplate.labels).toEqual({ team: 'core', 'com.example/tier': '1' });
  expect(issuesOf(demo('labels: {ephemera.instance: x, -a: y}'))).toEqual([
    'templates.demo.labels.ephemera.instance: keys with the prefix ephemera. are reserved',
    'templates.demo.labels.-a: is not a valid label key',
  ]);
});

test('all errors are reported at once, with their paths', () => {
  const faults = issuesOf(`default: nobody
templates:
  demo: {image: '', port: 0, timeout: 1, limits: {cpus: 0, disk: 1g}, foo: 1}
  other: {port: 80, capAdd: [net-admin]}
`);
  expect(faults.map((fault) => fault.split(':')[0]).sort()).toEqual(
    [
      'templates.demo.image',
      'templates.demo.port',
      'templates.demo.timeout',
      'templates.demo.limits.cpus',
      'templates.demo.limits.disk',
      'templates.demo.foo',
      'templates.other.image',
      'templates.other.capAdd.0',
    ].sort(),
  );
});

test('a YAML syntax error is reported with its line, without the text of the line', () => {
  expect(() => parseTemplates('templates: [')).toThrow(
    /must be sufficiently indented.* \(line 1\)$/,
  );
  expect(() => parseTemplates('a: 1\na: 2')).toThrow(/must be unique \(line 2\)$/);
  expect(() => parseTemplates('tokens: 1\na: [secret: 0123: 4')).not.toThrow(/secret/);
});

test('an error is reported with its line, also behind an alias', () => {
  const text = `x-base: &base
  timeout: soon
templates:
  a:
    <<: *base
    image: a
    port: 80
  b: { image: b, port: 80, limits: *base }
  c:
    image: c
    port: 80
    schedule:
      - { cron: '0 9 * * *', ready: 1, for: 1h }
      - { cron: never, ready: 1, for: 1h }
`;
  expect(() => parseTemplates(text)).toThrow(/schedule\.1\.cron: .*\(line 14\)/);
  expect(() => parseTemplates(text)).toThrow(/b\.limits\.timeout: unknown field.*\(line 2\)/);
  expect(() => parseTemplates(text)).toThrow(/a\.timeout: .*\(line \d+\)/);
});

test('merge keys and keys that begin with x- hold what templates share', () => {
  const text = `x-idle: &idle { timeout: 1h, idleTimeout: 5m }
x-limits: &limits { memory: 64m, pids: 64 }
x-web: &web
  port: 80
  timeout: 10m
  limits: *limits
templates:
  a: { <<: *web, image: a }
  b:
    <<: [*web, *idle]
    image: b
    port: 90
`;
  const { templates } = parseTemplates(text);
  expect(templates.get('a')).toMatchObject({ port: 80, timeout: 600_000, limits: { pids: 64 } });
  expect(templates.get('b')).toMatchObject({ port: 90, timeout: 600_000, idleTimeout: 300_000 });
  expect(issuesOf('x-a: 1\ntemplates: {a: {image: a, port: 80, x-b: 1}}')).toEqual([
    expect.stringMatching(/^templates\.a\.x-b: unknown field/),
  ]);
  expect(issuesOf('templates: {a: {<<: 1, image: a, port: 80}}')).toEqual([
    expect.stringMatching(/^: Merge sources must be maps/),
  ]);
});

test('an unreadable file is reported with its path', () => {
  expect(() => loadTemplates('/nowhere/ephemera.yml')).toThrow(
    '/nowhere/ephemera.yml cannot be used:\n  (whole): cannot be read (ENOENT)',
  );
});

test.each(['50 8 * * 1-5', '*/5 * * * *', '0 9 * MAR-MAY MON'])('%s is a schedule', (cron) => {
  const text = `templates: {a: {image: a, port: 80, schedule: [{cron: '${cron}', ready: 2, for: 1h}]}}`;
  expect(parseTemplates(text).templates.get('a')?.schedule[0]?.cron).toBe(cron);
});

test.each([
  '61 8 * * *',
  'H 8 * * *',
  '0 50 8 * * 1-5',
  '50 8 * *',
  'soon',
  '@daily',
  '*/0 * * * *',
])('%s is not a schedule', (cron) => {
  const text = `templates: {a: {image: a, port: 80, schedule: [{cron: '${cron}', ready: 2, for: 1h}]}}`;
  expect(() => parseTemplates(text)).toThrow(/schedule\.0\.cron: must be a cron expression/);
});

// The parser accepts some of these, but the library that runs them cannot compute a time.
test.each(['0 9 31 4 *', '0 9 31 4,6,9,11 *'])('%s is refused, because it never occurs', (cron) => {
  const good = "{cron: '0 8 * * *', ready: 1, for: 1h}";
  const bad = `{cron: '${cron}', ready: 2, for: 1h, tz: Nowhere/City}`;
  expect(issuesOf(demo(`schedule: [${good}, ${bad}]`)).sort()).toEqual([
    expect.stringMatching(/^templates\.demo\.schedule\.1\.cron: (never occurs|must be a cron)/),
    'templates.demo.schedule.1.tz: is not a time zone such as Europe/Paris',
  ]);
});

test.each(['1000:', ':1000', ':', '1000:1000:1', '', 'a b', '1000\\n', 'a\\0'])(
  'the user "%s" is refused',
  (user) => {
    expect(issuesOf(demo(`user: "${user}"`))).toEqual([
      'templates.demo.user: must be image, a user, or user:group, such as 1000:1000',
    ]);
  },
);

test.each(['1000', '1000:1000', 'www-data', 'www-data:www-data', '0:0', 'image'])(
  'the user %s is accepted',
  (user) => {
    expect(issuesOf(demo(`user: "${user}"`))).toEqual([]);
  },
);

test.each([
  ['ready: {http: "/a\\nb"}', 'ready.http'],
  ['ready: {http: "/a\\r\\nHost: b"}', 'ready.http'],
  ['labels: {a: "b\\0"}', 'labels.a'],
])('%s is refused', (field, path) => {
  expect(issuesOf(demo(field))).toEqual([expect.stringContaining(`templates.demo.${path}: must`)]);
});

test.each([
  ['an alias', 'env: {A: *hunter2}'],
  ['the header of a block', 'env:\n      A: |hunter2'],
  ['a key without a space', 'env: {A: b}, secret:hunter2: 1'],
  ['a variable with its value', 'env: {"A=hunter2": b}'],
  ['a tag', 'env: {A: !hunter2!}'],
  ['an anchor', 'env: {A: &hunter2}'],
  ['a text without its end', 'env: {A: "hunter2'],
  ['a second scalar', 'description: "a" hunter2'],
])('an error does not show a secret: %s', (_, fields) => {
  const text = `templates:\n  demo:\n    image: a\n    port: 80\n    ${fields}\n`;
  const issues = issuesOf(text);
  expect(issues).not.toEqual([]);
  expect(issues.join('\n')).not.toContain('hunter2');
});

test('an unknown field does not show the value that follows it without a space', () => {
  const issues = issuesOf('templates: {demo: {image: a, port: 80, secret:hunter2}}');
  expect(issues).toEqual([
    'templates.demo.secret: unknown field; docs/reference/configuration.md lists the known ones',
  ]);
});

describe('what visitors see', () => {
  test('title, description and landing path', () => {
    const text = demo("title: Data lab, description: 'Notebooks.', open: '/lab?path={basePath}'");
    expect(parseTemplates(text).defaultTemplate).toMatchObject({
      title: 'Data lab',
      description: 'Notebooks.',
      open: '/lab?path={basePath}',
    });
  });

  test.each([
    [`title: '${'a'.repeat(81)}'`, /title: must have at most 80 characters/],
    ["title: ''", /title: must be one line of text/],
    ["title: '  '", /title: must be one line of text/],
    ['title: "a\\nb"', /title: must be one line of text/],
    [`description: '${'a'.repeat(501)}'`, /description: must have at most 500 characters/],
    ['open: lab', /open: must be a path below the address of the instance that begins with \//],
    ["open: '{basePath}/lab'", /open: must be a path below/],
    ["open: '//evil.example'", /open: must begin with exactly one \//],
    ["open: '/{basePath}'", /open: must begin with exactly one \//],
    ["open: '/%2fevil.example'", /open: must begin with exactly one \//],
    ["open: '/a/../b'", /open: must not contain a segment/],
    ["open: '/?token={token}'", /open: the application never learns \{token\}/],
  ])('refuses %s', (fields, message) => {
    expect(issuesOf(demo(fields))[0]).toMatch(message);
  });

  test('a visitor learns the secret from the landing path', () => {
    const text = demo("env: {KEY: '{token}'}, open: '/?key={token}'");
    expect(parseTemplates(text).defaultTemplate.open).toBe('/?key={token}');
  });
});

describe('embed', () => {
  test('lists origins as browsers serialize them', () => {
    const origins = ['https://Host.example/', 'https://a.example:443', 'http://a.localhost:8080'];
    const text = demo(`embed: ['${origins.join("', '")}', 'http://127.0.0.1:1', 'http://[::1]']`);
    expect(parseTemplates(text).defaultTemplate.embed).toEqual([
      'https://host.example',
      'https://a.example',
      'http://a.localhost:8080',
      'http://127.0.0.1:1',
      'http://[::1]',
    ]);
    expect(parseTemplates(demo('')).defaultTemplate.embed).toBeUndefined();
  });

  test('reports every origin that is refused', () => {
    const refused = [
      'http://host.example',
      'http://localhost.example',
      'https://host.example/path',
      'https://host.example/?a',
      'https://user@host.example',
      'https://*.example',
      '*',
      "'self'",
      'https:',
      'https://a;script-src',
      'https://a,b',
      'host.example',
      'data:text/html,x',
      'null',
    ];
    const issues = issuesOf(demo(`embed: ${JSON.stringify(refused)}`));
    expect(issues).toHaveLength(refused.length);
    for (const [i, issue] of issues.entries()) {
      expect(issue).toMatch(
        new RegExp(`^templates\\.demo\\.embed\\.${i}: must be an origin such as`),
      );
    }
    expect(issuesOf(demo('embed: []'))[0]).toMatch(/must have at least one origin/);
  });
});

// Each start leaves a tombstone for an hour. Without a rate, one token could fill Redis with them.
test('a token has a rate of starts and of changes unless the file says otherwise', () => {
  const templates = 'templates: { a: { image: a, port: 80 } }';
  expect(parseTemplates(templates).quotas).toEqual({
    ratePerToken: { points: 6_000, seconds: 3_600 },
    changesPerToken: { points: 600, seconds: 60 },
  });
  expect(
    parseTemplates(`${templates}\nlimits: { ratePerToken: 5/1m }`).quotas.ratePerToken,
  ).toEqual({
    points: 5,
    seconds: 60,
  });
});

test('only a template that visitors can start is in the gallery', () => {
  const parse = (fields: string) =>
    parseTemplates(`templates: {a: {image: a, port: 80, ${fields}}}`);
  expect(parse('gallery: true').defaultTemplate.gallery).toBe(true);
  expect(() => parse('gallery: true, create: link')).toThrow(/gallery: needs create: open/);
  const { visitor } = parse('visitor: {renew: 15m}').defaultTemplate;
  expect(visitor).toEqual({ renew: 900_000, end: false, expiresHeader: false });
  expect(() => parse('visitor: {renew: 0s}')).toThrow(/visitor\.renew/);
});

const parseDemo = (fields: string) =>
  parseTemplates(`templates: {demo: {image: demo, port: 8080, ${fields}}}`);

test('a visit starts only what every visitor can open', () => {
  expect(parseDemo('onVisit: start').defaultTemplate.onVisit).toBe('start');
  expect(parseDemo('onVisit: gone, access: token').defaultTemplate.onVisit).toBe('gone');
  for (const access of ['token', 'owner']) {
    expect(() => parseDemo(`onVisit: start, access: ${access}`)).toThrow(
      /onVisit: start needs access/,
    );
  }
  expect(() => parseDemo("onVisit: start, create: token, env: {A: '{token}'}")).toThrow(
    /onVisit: start cannot be used with \{token\}/,
  );
});

test('patterns of images are a list that is not empty', () => {
  const imageAllow = ['ghcr.io/acme/app:*', 'redis'];
  expect(parseDemo(`imageAllow: ${JSON.stringify(imageAllow)}`).defaultTemplate.imageAllow).toEqual(
    imageAllow,
  );
  expect(parseDemo('title: A').defaultTemplate.imageAllow).toBeUndefined();
  for (const wrong of ['[]', "['']", "['a b']", 'redis']) {
    expect(() => parseDemo(`imageAllow: ${wrong}`)).toThrow(/imageAllow/);
  }
});
