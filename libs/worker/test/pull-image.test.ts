import { createServer, type Socket } from 'node:net';
import type { StartStep, Template } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import { freePort } from '@ephemera/test-support';
import Docker from 'dockerode';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { imagePulls, isPassing, withTag } from '../src/docker/pull-image.ts';
import { assignedInstance, openDocker } from './docker-fixture.ts';
import { faultyRegistry, publishImage, startRegistry } from './registry.ts';
import type { Fault, Registry } from './registry.ts';

const docker = new Docker();
let registry: Registry;

beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry.stop());

/** The name of an image that is in the registry and, at first, not on this host. */
async function published(name: string): Promise<string> {
  const image = `${registry.address}/${name}`;
  await publishImage(docker, image);
  onTestFinished(async () => {
    await docker
      .getImage(image)
      .remove({ force: true })
      .catch(() => undefined);
  });
  return image;
}

const isHere = (image: string) =>
  docker
    .getImage(image)
    .inspect()
    .then(
      () => true,
      () => false,
    );

function progressRecorder() {
  const steps: StartStep[] = [];
  return {
    steps,
    report: (step: StartStep) => {
      steps.push(step);
      return Promise.resolve(true);
    },
  };
}

test('a missing image is pulled once for all waiting starts', async () => {
  const image = await published('once:1');
  expect(await isHere(image)).toBe(false);
  const pulls = imagePulls(docker, 60_000);
  const [item, other] = [progressRecorder(), progressRecorder()];
  const from = registry.log().length;
  expect(
    await Promise.all([
      pulls.pull(image, 5_000, item.report),
      pulls.pull(image, 5_000, other.report),
      pulls.pull(image, 5_000, progressRecorder().report),
    ]),
  ).toEqual([true, true, true]);
  expect(await isHere(image)).toBe(true);
  const asked = registry.log().slice(from);
  expect(asked.match(/"(GET|HEAD) \/v2\/once\/manifests\/1 /g)).toHaveLength(1);
  for (const { steps } of [item, other]) {
    expect(steps[0]).toMatchObject({ step: 'pulling' });
    expect(steps[0]?.message).toContain(image);
    expect(steps.at(-1)).toMatchObject({ step: 'creating' });
  }
});

test('a name is resolved to the digest that its registry has now', async () => {
  const image = await published('moving:1');
  const pulls = imagePulls(docker, 60_000);
  const first = await pulls.resolve(image);
  expect(first).toMatch(new RegExp(`^${registry.address}/moving@sha256:[0-9a-f]{64}$`));
  await publishImage(docker, image);
  const second = await pulls.resolve(image);
  expect(second).not.toBe(first);
  expect(await pulls.resolve(first)).toBe(first);
  // An image of this host alone, and a registry that is unreachable.
  for (const name of [`${registry.address}/none:1`, `127.0.0.1:${await freePort()}/app`]) {
    expect(await pulls.resolve(name)).toBe(name);
  }
});

test('a creation that names an image gets the one of the registry, not an older one of the host', async () => {
  const fixture = await openDocker();
  onTestFinished(() => fixture.close());
  const image = await published('stale:1');
  const stale = docker.getImage('ephemera/demo');
  await stale.tag({ repo: `${registry.address}/stale`, tag: '1' });
  const imageOf = async (template: Partial<Template>) => {
    const { containerId } = await fixture.start(assignedInstance({ image, ...template }));
    return (await docker.getContainer(containerId).inspect()).Image;
  };
  const { Id: staleId } = await stale.inspect();
  expect(await imageOf({})).toBe(staleId);
  const named = await imageOf({ isImageNamed: true });
  expect(named).not.toBe(staleId);
  const digest = await imagePulls(docker, 60_000).resolve(image);
  expect(named).toBe((await docker.getImage(digest).inspect()).Id);
  onTestFinished(() => docker.getImage(digest).remove({ force: true }));
});

test('a superseded start leaves the pull to the others', async () => {
  const image = await published('left:1');
  const pulls = imagePulls(docker, 60_000);
  const left = pulls.pull(image, 5_000, () => Promise.resolve(false));
  const stayed = pulls.pull(image, 5_000, progressRecorder().report);
  expect(await left).toBe(false);
  expect(await stayed).toBe(true);
  expect(await isHere(image)).toBe(true);
});

test('an unreachable registry or an unknown image is an error with the reason', async () => {
  const pulls = imagePulls(docker, 60_000);
  const unreachable = `127.0.0.1:${await freePort()}/app`;
  await expect(pulls.pull(unreachable, 5_000, progressRecorder().report)).rejects.toThrow(
    ContainerStartError,
  );
  await expect(pulls.pull(unreachable, 5_000, progressRecorder().report)).rejects.toThrow(
    new RegExp(`^The image ${unreachable} is not on this host, and pulling it failed: .*refused`),
  );
  const unknown = `${registry.address}/no-such-image`;
  await expect(pulls.pull(unknown, 5_000, progressRecorder().report)).rejects.toThrow(
    /pulling it failed: .*not found|manifest unknown/,
  );
});

/** The name of an image in a registry that accepts connections and never responds. */
async function unresponsive(): Promise<string> {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => {
    sockets.push(socket.on('error', () => socket.destroy()));
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { port } = silent.address() as { port: number };
  return `127.0.0.1:${port}/app`;
}

test('a pull from an unresponsive registry is reported as stalled, once in the log', async () => {
  const image = await unresponsive();
  const { lines, logger } = logRecorder();
  const { steps, report } = progressRecorder();
  const pulls = imagePulls(docker, 4_500, { stallMs: 500, logger });
  await expect(pulls.pull(image, 5_000, report)).rejects.toThrow(/took over 4500 ms/);
  const messages = steps.map(({ message }) => message);
  expect(messages[0]).toBe(`Pulling the image ${image}.`);
  expect(messages.at(-1)).toMatch(/No progress for [34] s. Last: no answer of the registry.$/);
  expect(lines.filter((line) => line.startsWith('pull stalled'))).toHaveLength(1);
});

test('a pull from an unresponsive registry times out, and can be tried again', async () => {
  const image = await unresponsive();
  const pulls = imagePulls(docker, 1_200);
  const { steps, report: reportProgress } = progressRecorder();
  await expect(pulls.pull(image, 5_000, reportProgress)).rejects.toThrow(/took over 1200 ms/);
  // Progress is reported repeatedly, which extends the start deadline.
  expect(steps.length).toBeGreaterThan(1);
  await expect(pulls.pull(image, 5_000, reportProgress)).rejects.toThrow(/took over 1200 ms/);
});

/** A published image, by its name behind a proxy with faults. */
async function behindFaults(name: string, fault: Fault): Promise<string> {
  await published(name);
  const proxy = await faultyRegistry(registry, fault);
  onTestFinished(() => proxy.stop());
  const image = `${proxy.address}/${name}`;
  onTestFinished(async () => {
    await docker
      .getImage(image)
      .remove({ force: true })
      .catch(() => undefined);
  });
  return image;
}

const isManifest = ({ url = '' }: { url?: string | undefined }) => url.includes('/manifests/');

function logRecorder() {
  const lines: string[] = [];
  const write = (fields: unknown, text: string) => lines.push(`${text} ${JSON.stringify(fields)}`);
  return { lines, logger: { warn: write, info: write } as never };
}

test.each<[string, Fault]>([
  ['a 503', (_, res) => res.writeHead(503).end()],
  ['a 502 with a page', (_, res) => res.writeHead(502, { 'content-type': 'text/html' }).end('<p>')],
  ['a reset', (req) => req.socket.resetAndDestroy()],
  ['an early end', (req) => req.socket.end()],
])('%s during a pull is repeated', async (_, fail) => {
  let failures = 3;
  const image = await behindFaults('passing:1', (req, res, forward) => {
    if (isManifest(req) && failures-- > 0) fail(req, res, forward);
    else forward();
  });
  const { lines, logger } = logRecorder();
  const { steps, report } = progressRecorder();
  const pulls = imagePulls(docker, 60_000, { retryMs: 1_100, logger });
  expect(await pulls.pull(image, 30_000, report)).toBe(true);
  expect(await isHere(image)).toBe(true);
  expect(lines[0]).toMatch(/^pull failed; it is repeated .*"reason":/);
  expect(steps.map(({ message }) => message)).toContain(
    `Pulling the image ${image}. The registry failed. The next attempt is in 2 s.`,
  );
});

test('a lasting failure of the registry ends the start at its deadline, with the reason', async () => {
  let requests = 0;
  const image = await behindFaults('lasting:1', (req, res) => {
    if (isManifest(req)) requests += 1;
    res.writeHead(503).end();
  });
  const pulls = imagePulls(docker, 60_000, { retryMs: 200 });
  const start = performance.now();
  await expect(pulls.pull(image, 3_000, progressRecorder().report)).rejects.toThrow(
    /pulling it failed: .*503/,
  );
  expect(performance.now() - start).toBeLessThan(10_000);
  expect(requests).toBeGreaterThan(2);
});

test('an absent image is no reason for another attempt', async () => {
  const paths: string[] = [];
  const image = await behindFaults('there:1', (req, _, forward) => {
    if (isManifest(req)) paths.push(`${req.method} ${req.url}`);
    forward();
  });
  const pulls = imagePulls(docker, 60_000, { retryMs: 10 });
  const absent = image.replace('there:1', 'absent:503');
  await expect(pulls.pull(absent, 30_000, progressRecorder().report)).rejects.toThrow(/not found/);
  expect(new Set(paths).size).toBe(paths.length);
});

const PASSWORD = 'correct horse';
const PASSWORD_HASH = '$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2';

/** A registry that requires a login, with an image of the open one. */
async function closedRegistry(name: string) {
  const closed = await startRegistry({
    images: registry.images,
    htpasswd: `cat:${PASSWORD_HASH}`,
  });
  onTestFinished(() => closed.stop());
  await published(name);
  const { address } = closed;
  const image = `${address}/${name}`;
  onTestFinished(async () => {
    await docker
      .getImage(image)
      .remove({ force: true })
      .catch(() => undefined);
  });
  const login = (password: string) =>
    new Map([[address, { username: 'cat', password, serveraddress: address }]]);
  return { address, image, login, log: () => closed.log() };
}

test('a registry that wants a login is named, with the way to log in', async () => {
  const { address, image, login, log } = await closedRegistry('private:1');
  const { lines, logger } = logRecorder();
  const { steps, report } = progressRecorder();
  let password: string | undefined;
  const readLogins = () => (password === undefined ? new Map() : login(password));
  const pulls = imagePulls(docker, 60_000, { readLogins, logger, retryMs: 10 });
  const refusal = () =>
    pulls.pull(image, 30_000, report).then(
      () => 'pulled',
      (error: unknown) => (error as Error).message,
    );
  const before = log().length;
  expect(await refusal()).toMatch(
    new RegExp(
      `The registry ${address} wants a login. Add it to "registries" in ephemera.yml, or a Docker config.json that EPHEMERA_DOCKER_CONFIG names`,
    ),
  );
  // One attempt of the daemon asks once.
  expect(
    log()
      .slice(before)
      .match(/"(GET|HEAD) \/v2\/private\/manifests/g),
  ).toBeNull();
  password = 'wrong battery';
  const wrong = await refusal();
  expect(wrong).toMatch(`The registry ${address} refused its login.`);
  password = PASSWORD;
  expect(await refusal()).toBe('pulled');
  expect(await isHere(image)).toBe(true);
  const told = JSON.stringify([steps, lines, wrong]);
  expect(told).not.toMatch(/battery|horse/);
});

test('logins that cannot be read any more stay in use', async () => {
  const { image, login } = await closedRegistry('kept:1');
  const { lines, logger } = logRecorder();
  let isReadable = true;
  const readLogins = () => {
    if (!isReadable) throw new Error('config.json is not JSON');
    return login(PASSWORD);
  };
  const pulls = imagePulls(docker, 60_000, { readLogins, logger });
  // The file breaks before the first pull.
  isReadable = false;
  expect(await pulls.pull(image, 5_000, progressRecorder().report)).toBe(true);
  expect(lines[0]).toMatch(/^logins of registries cannot be read/);
});

test.each([
  ['Get "https://r.io/v2/": net/http: TLS handshake timeout', true],
  ['Get "https://r.io/v2/": dial tcp 1.2.3.4:443: i/o timeout', true],
  ['Get "https://r.io/v2/": context deadline exceeded (Client.Timeout exceeded)', true],
  ['read tcp 1.2.3.4:1->5.6.7.8:443: read: connection reset by peer', true],
  ['received unexpected HTTP status: 500 Internal Server Error', true],
  ['error parsing HTTP 504 response body: invalid character', true],
  ['unexpected status from HEAD request to https://r.io/v2/a/manifests/1: 502 Bad Gateway', true],
  ['toomanyrequests: retry-after: 1s', true],
  ['dial tcp: lookup r.io on 1.1.1.1:53: read: i/o timeout', false],
  ['dial tcp 127.0.0.1:5000: connect: connection refused', false],
  ['toomanyrequests: You have reached your pull rate limit.', false],
  ['pull access denied for a, repository does not exist or may require docker login', false],
  ['manifest for r.io/a:503 not found: manifest unknown: manifest unknown', false],
  ['unexpected status from HEAD request to https://r.io/v2/a/manifests/1: 403 Forbidden', false],
  ['error parsing HTTP 403 response body: unexpected EOF', false],
  ['dial tcp: lookup r.invalid: no such host', false],
  ['x509: certificate signed by unknown authority', false],
  ['no space left on device', false],
])('after "%s", another attempt may help: %s', (reason, passing) => {
  expect(isPassing(reason)).toBe(passing);
});

test('an image without a tag gets the tag `latest`', () => {
  expect(withTag('ephemera/demo')).toBe('ephemera/demo:latest');
  expect(withTag('127.0.0.1:5000/demo')).toBe('127.0.0.1:5000/demo:latest');
  expect(withTag('127.0.0.1:5000/demo:2')).toBe('127.0.0.1:5000/demo:2');
  expect(withTag('demo@sha256:00')).toBe('demo@sha256:00');
});
