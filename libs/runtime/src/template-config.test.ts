import { expect, test } from 'vitest';
import { ConfigError } from './environment.ts';
import { loadTemplates, parseTemplates } from './template-config.ts';

const demo = (fields = '') => `templates: {demo: {image: a, port: 80, ${fields}}}`;

const faultsOf = (text: string) => {
  try {
    parseTemplates(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ path, detail }) => `${path}: ${detail}`);
  }
};

test('two fields make a template; everything else has a default', () => {
  const { preset, templates } = parseTemplates(demo());
  expect([...templates.keys()]).toEqual(['demo']);
  expect(preset).toMatchObject({
    name: 'demo',
    image: 'a',
    port: 80,
    ports: { web: 80 },
    timeout: 1_800_000,
    maxTimeout: 1_830_000,
    idleTimeout: undefined,
    ready: { kind: 'tcp', within: 30_000 },
    stopGrace: 5_000,
    limits: { memory: 268_435_456, cpus: 0.5, pids: 128 },
    command: undefined,
    env: {},
    capAdd: [],
    egress: false,
    stripPrefix: true,
    host: 'pass',
  });
});

test('reads every field in the units that people write', () => {
  const { preset } = parseTemplates(
    demo(`timeout: 90s, maxTimeout: 2h, idleTimeout: 10m, stopGrace: 250ms,
      limits: {memory: 1.5g, cpus: 2, pids: 10}, tmpfs: {/tmp: 8m}, user: "1000:1000",
      ready: {http: /health, status: "200-299,401", within: 1m}, command: [serve, "{port}"],
      env: {A: b}, readOnly: true, host: mask, stripPrefix: false, capAdd: [NET_BIND_SERVICE]`),
  );
  expect(preset).toMatchObject({
    timeout: 90_000,
    maxTimeout: 7_200_000,
    idleTimeout: 600_000,
    stopGrace: 250,
    limits: { memory: 1_610_612_736, cpus: 2, pids: 10 },
    tmpfs: { '/tmp': 8_388_608 },
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
  });
});

test('the first of several ports is the one that an address without a port reaches', () => {
  const text = 'templates: {ide: {image: a, ports: {web: 3000, debug: 9229}}}';
  expect(parseTemplates(text).preset).toMatchObject({
    port: 3000,
    ports: { web: 3000, debug: 9229 },
  });
});

test('the default template is the named one, or the first', () => {
  const two = 'templates: {one: {image: a, port: 80}, two: {image: b, port: 80}}';
  expect(parseTemplates(two).preset.name).toBe('one');
  expect(parseTemplates(`default: two\n${two}`).preset.name).toBe('two');
});

const READY = 'must be tcp, {tcp: true, within} or {http: /path, status, within}';

test.each([
  ['templates: {}', ['templates: must have at least one']],
  ['', ['templates: Invalid input: expected record, received undefined']],
  [
    'templates: {Demo: {image: a, port: 80}}',
    ['templates.Demo: names are lowercase letters, digits and hyphens, at most 41'],
  ],
  ['templates: {demo: null}', ['templates.demo: Invalid input: expected object, received null']],
  ['templates: {demo: {image: a}}', ['templates.demo.port: give either port or ports']],
  [demo('ports: {web: 80}'), ['templates.demo.port: give either port or ports']],
  [demo('ready: udp'), [`templates.demo.ready: ${READY}`]],
  [demo('ready: {htp: /x}'), [`templates.demo.ready: ${READY}`]],
  [demo('ready: {http: x}'), ['templates.demo.ready.http: must be a path that starts with /']],
  [
    demo('ready: {http: /x, status: 99}'),
    ['templates.demo.ready.status: "99" is no status such as 200 or 200-399'],
  ],
  [demo('ready: {http: /x, within: 10ms}'), ['templates.demo.ready.within: must be at least 1s']],
  [demo('env: {1a: b}'), ['templates.demo.env.1a: is no name of a variable']],
  [demo('timeout: 0s'), ['templates.demo.timeout: must be at least 1s']],
  [demo('timeout: 5'), ['templates.demo.timeout: must be a duration such as 90s, 30m, 2h']],
  [demo('timeout: 1h, maxTimeout: 30m'), ['templates.demo.maxTimeout: must not be below timeout']],
  [
    demo('stopGrace: -5s'),
    ['templates.demo.stopGrace: "-5s" is not a duration such as 90s, 30m, 2h'],
  ],
  [demo('limits: {memory: 1m}'), ['templates.demo.limits.memory: must be at least 6m']],
  [demo('privileged: true'), ['templates.demo.privileged: unknown field']],
  [demo('volumes: [/:/host]'), ['templates.demo.volumes: unknown field']],
  [`default: x\n${demo()}`, ['default: "x" is none of the templates: demo']],
  [`${demo()}\nother: 1`, ['other: unknown field']],
])('%s', (text, expected) => {
  expect(faultsOf(text)).toEqual(expected);
});

test('labels are the operator’s own, and never those by which containers are known', () => {
  const { preset } = parseTemplates(demo("labels: {team: core, com.example/tier: '1'}"));
  expect(preset.labels).toEqual({ team: 'core', 'com.example/tier': '1' });
  expect(faultsOf(demo('labels: {ephemera.instance: x, -a: y}'))).toEqual([
    'templates.demo.labels.ephemera.instance: keys with ephemera. are taken',
    'templates.demo.labels.-a: is no key of a label',
  ]);
});

test('every fault is told at once, with its path', () => {
  const faults = faultsOf(`default: nobody
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

test('broken YAML is told with its place', () => {
  expect(faultsOf('templates: [')[0]).toMatch(/at line 1, column/);
  expect(faultsOf('a: 1\na: 2')[0]).toMatch(/must be unique at line 2/);
});

test('a file that cannot be read is named', () => {
  expect(() => loadTemplates('/nowhere/ephemera.yml')).toThrow(
    '/nowhere/ephemera.yml cannot be used:\n  (whole): cannot be read (ENOENT)',
  );
});
