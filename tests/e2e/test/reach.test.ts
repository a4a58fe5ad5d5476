import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endProcess, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startCluster } from '../src/cluster/cluster.ts';
import type { Cluster, ClusterHost } from '../src/cluster/cluster.ts';
import { createLan, lanExists, removeLan } from '../src/cluster/lan.ts';
import type { Machine } from '../src/cluster/lan.ts';

// A proxy on one machine, and two Docker hosts on others: network namespaces of this one. The proxy
// reaches the instances; nothing else does. The tests depend on each other.

// Two Docker Engines of their own beside all else that the machine does.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 300_000 });

/** Answers a WebSocket handshake, then returns every byte. */
const ECHO = `key=
while read -r line; do
  line=$(printf %s "$line" | tr -d '\\r')
  case "$line" in [Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey:*) key=\${line#*: };; '') break;; esac
done
accept=$(printf %s258EAFA5-E914-47DA-95CA-C5AB0DC85B11 "$key" | sha1sum | cut -d' ' -f1 | xxd -r -p | base64)
printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: %s\\r\\n\\r\\n' "$accept"
exec cat`;

const template = (more: object) => ({
  image: 'ephemera/demo',
  timeout: '10m',
  ready: { http: '/id', within: '30s' },
  stopGrace: '0s',
  limits: { memory: '64m', cpus: 0.5, pids: 64 },
  tmpfs: { '/tmp': '8m' },
  ...more,
});

const TEMPLATES = {
  demo: template({
    ports: { main: 8080, echo: 9000 },
    env: { ECHO },
    command: [
      '/bin/sh',
      '-c',
      'echo started; busybox nc -ll -p 9000 -e /bin/sh -c "$ECHO" & exec /bin/serve',
    ],
  }),
  open: template({ port: 8080, egress: true }),
  pooled: template({ port: 8080, pool: 1 }),
};

interface Shown {
  readonly id: string;
  readonly status: { readonly state: string };
}

interface Target {
  readonly address: string;
  readonly port: number;
}

describe.each(['published', 'routed'] as const)('with reach %s', (reach) => {
  let cluster: Cluster;
  let outsider: Machine;
  let folder: string;
  /** An instance of each host, by host, with the template `demo`. */
  const first = new Map<string, string>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eph-reach-'));
    const config = join(folder, 'ephemera.yml');
    await writeFile(config, JSON.stringify({ default: 'demo', templates: TEMPLATES }));
    const name = `test-${randomBytes(3).toString('hex')}`;
    cluster = await startCluster({ name, hosts: 2, reach, config, images: ['ephemera/demo'] });
    outsider = await cluster.addMachine('outsider');
    await Promise.all(cluster.hosts.map(({ machine }) => routeTo(outsider, machine)));
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(folder, { recursive: true });
  });

  /** As a machine of the private network that knows the addresses could add it. */
  async function routeTo(machine: Machine, via: Machine): Promise<void> {
    if (reach === 'published') return;
    const { networks } = await hostOf(via.name);
    await machine.says(
      networks.map((it) => `ip route replace ${it} via ${via.address}`).join('\n'),
    );
  }

  const api = (method: string, path: string, body?: object) =>
    fetch(cluster.adminUrl + path, {
      method,
      headers: {
        authorization: `Bearer ${cluster.token}`,
        ...(body && { 'content-type': 'application/json', prefer: 'wait=30' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });

  async function hostOf(name: string): Promise<{ readonly networks: readonly string[] }> {
    return (await (await api('GET', `/v1/hosts/${name}`)).json()) as { networks: string[] };
  }

  async function start(name: string): Promise<string> {
    const answer = await api('POST', '/v1/instances', { template: name });
    const text = await answer.text();
    expect([answer.status, text]).toEqual([201, expect.stringContaining('"ready"')]);
    return (JSON.parse(text) as Shown).id;
  }

  const visit = (id: string, path = 'id', init: RequestInit = {}) =>
    fetch(`${cluster.publicUrl}/demo/${id}/${path}`, {
      headers: { accept: 'application/json' },
      ...init,
    });

  const own = async (id: string) => (await visit(id)).text();

  async function containerOf(host: ClusterHost, id: string): Promise<string> {
    return host.engine.docker('ps', '-q', '--filter', `label=ephemera.instance=${id}`);
  }

  /** Where the proxy connects to for a port of an instance. */
  async function endpointOf(host: ClusterHost, id: string, port = 8080): Promise<Target> {
    const container = await containerOf(host, id);
    const network = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    if (reach === 'routed') {
      return { address: await host.engine.docker('inspect', '-f', network, container), port };
    }
    const [address = '', at] = (await host.engine.docker('port', container, `${port}`)).split(':');
    return { address, port: Number(at) };
  }

  /** Starts instances of a template until one of them is on the host. */
  async function startOn(host: ClusterHost, name: string): Promise<string> {
    return waitFor(`an instance of ${name} on ${host.machine.name}`, async () => {
      const id = await start(name);
      return (await containerOf(host, id)) === '' ? undefined : id;
    });
  }

  /** Whether a machine gets an HTTP response from a port. */
  async function gets(machine: Machine, { address, port }: Target): Promise<boolean> {
    const get = `busybox timeout 4 busybox wget -q -O - http://${address}:${port}/id`;
    return (await machine.says(get).catch(() => '')) !== '';
  }

  /** The positive control: the port answers the machine of the proxy. */
  const answers = (endpoint: Target) =>
    waitFor('a response to the proxy', () => gets(cluster.front, endpoint));

  /** Whether an instance can open a connection. */
  async function connectsFrom(host: ClusterHost, id: string, to: Target): Promise<boolean> {
    const container = await containerOf(host, id);
    const probe = `busybox timeout 5 busybox nc ${to.address} ${to.port} </dev/null >/dev/null 2>&1 && echo open`;
    const answer = await host.engine
      .docker('exec', container, '/bin/sh', '-c', probe)
      .catch(() => '');
    return answer === 'open';
  }

  test('the proxy serves instances of both hosts', async () => {
    for (const host of cluster.hosts) {
      const id = await startOn(host, 'demo');
      first.set(host.machine.name, id);
      expect(await own(id)).toBe(id);
    }
    const { networks } = await hostOf('h1');
    expect(networks).toEqual([
      reach === 'published' ? `${cluster.hosts[0]?.machine.address}/32` : '10.231.0.0/16',
    ]);
  });

  /** Undefined if the handshake fails. */
  async function openWebSocket(path: string): Promise<Socket | undefined> {
    const { hostname, port, host } = new URL(cluster.publicUrl);
    const socket = connect(Number(port), hostname).setEncoding('latin1');
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [head] = (await once(socket, 'data')) as [string];
    if (head.startsWith('HTTP/1.1 101 ')) return socket;
    socket.destroy();
    return undefined;
  }

  test('uploads, and a WebSocket on a named port', async () => {
    const id = first.get('h2') ?? '';
    const body = randomBytes(256 * 1024).toString('hex');
    const answer = await visit(id, 'cgi-bin/echo', { method: 'POST', body });
    expect((await answer.text()).endsWith(body)).toBe(true);

    // The instance is ready once its main port is.
    const socket = await waitFor('the handshake', () => openWebSocket(`/demo/${id}:echo/`));
    let text = '';
    socket.on('data', (chunk: string) => (text += chunk));
    socket.write('over two machines');
    await waitFor('the echo', () => text.endsWith('over two machines'));
    socket.destroy();
  });

  test('a claimed warm instance, pause and resume, logs, and an instance with egress', async () => {
    const state = async () => {
      const { items } = (await (await api('GET', '/v1/instances')).json()) as { items: Shown[] };
      return items.find(({ status }) => status.state === 'warm');
    };
    const warm = await waitFor('a warm instance', state);
    const claimed = await start('pooled');
    expect(claimed).toBe(warm.id);
    expect(await own(claimed)).toBe(claimed);

    const open = await start('open');
    expect(await own(open)).toBe(open);

    const id = first.get('h1') ?? '';
    expect((await api('POST', `/v1/instances/${id}/pause`)).status).toBe(200);
    expect((await visit(id)).status).toBe(503);
    expect((await api('POST', `/v1/instances/${id}/resume`)).status).toBe(200);
    expect(await own(id)).toBe(id);
    const log = await api('GET', `/v1/instances/${id}/logs`);
    expect([log.status, await log.text()]).toEqual([200, expect.stringContaining('started')]);
  });

  /** What no other machine and no instance may reach; the proxy's machine may. */
  async function isolated(): Promise<void> {
    for (const [index, host] of cluster.hosts.entries()) {
      const other = cluster.hosts[1 - index];
      const id = first.get(host.machine.name) ?? '';
      const endpoint = await endpointOf(host, id);
      await answers(endpoint);
      expect(await gets(outsider, endpoint)).toBe(false);
      if (other) expect(await gets(other.machine, endpoint)).toBe(false);
    }
  }

  test('no other machine connects to an instance', isolated);

  test('a worker without the reach of its host does not start, and changes no rule', async () => {
    const [host] = cluster.hosts;
    const settings = { EPHEMERA_REACH: 'bridge', EPHEMERA_PROXIES: '', EPHEMERA_ADVERTISE: '' };
    await expect(host?.startWorker(settings)).rejects.toThrow(
      `EPHEMERA_REACH is bridge, and another worker of the host h1, which is alive, has ${reach}`,
    );
    const id = first.get('h1') ?? '';
    expect(await own(id)).toBe(id);
    await isolated();
  });

  test('no instance connects to another one, to the control plane, or to its host', async () => {
    const [one, two] = cluster.hosts;
    if (!one || !two) throw new Error('there are two hosts');
    const mine = first.get('h1') ?? '';
    const open = await startOn(one, 'open');
    const neighbour = await startOn(one, 'demo');
    const front = cluster.front.address;
    const targets: Record<string, Target> = {
      'a neighbour': await endpointOf(one, neighbour),
      'an instance of the other host': await endpointOf(two, first.get('h2') ?? ''),
      Redis: { address: front, port: 6379 },
      'the control API': { address: front, port: 8081 },
      'the public port': { address: front, port: 8080 },
    };
    for (const target of Object.values(targets).slice(0, 2)) await answers(target);
    // The control of the probe: an instance connects to itself.
    for (const id of [mine, open]) {
      expect(await connectsFrom(one, id, { address: '127.0.0.1', port: 8080 })).toBe(true);
    }
    const reached: string[] = [];
    for (const [name, target] of Object.entries(targets)) {
      for (const id of [mine, open]) {
        if (await connectsFrom(one, id, target)) reached.push(`${name} from ${id}`);
      }
    }
    expect(reached).toEqual([]);
  });

  test('all of that survives a restart of the daemon, of the worker, and a FORWARD policy of DROP', async () => {
    const [host] = cluster.hosts;
    if (!host) throw new Error('there are two hosts');
    await Promise.all(cluster.hosts.map(({ machine }) => machine.says('iptables -P FORWARD DROP')));
    await host.engine.restart();
    const id = first.get('h1') ?? '';
    await waitFor('the instance after the restart', async () => (await own(id)) === id);
    await isolated();
    await endProcess(host.worker.child, 'SIGKILL');
    await isolated();
    host.worker = await host.startWorker();
    expect(await own(id)).toBe(id);
    const next = await startOn(host, 'demo');
    expect(await own(next)).toBe(next);
    expect(await endpointOf(host, next)).not.toEqual(await endpointOf(host, id));
    await isolated();
  });
});

test('the removal of a cluster leaves one whose name begins with the same words', async () => {
  const name = `test-${randomBytes(3).toString('hex')}`;
  await createLan(`${name}-2`);
  try {
    expect(await lanExists(name)).toBe(false);
    await removeLan(name);
    expect(await lanExists(`${name}-2`)).toBe(true);
  } finally {
    await removeLan(`${name}-2`);
  }
  expect(await lanExists(`${name}-2`)).toBe(false);
});

test('a worker does not start with the address of another machine', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'eph-reach-'));
  const config = join(folder, 'ephemera.yml');
  await writeFile(config, JSON.stringify({ default: 'demo', templates: TEMPLATES }));
  const name = `test-${randomBytes(3).toString('hex')}`;
  const cluster = await startCluster({
    ...{ name, hosts: 1, reach: 'published', config, images: [] },
  });
  try {
    const [host] = cluster.hosts;
    if (host) await endProcess(host.worker.child);
    const settings = { EPHEMERA_ADVERTISE: cluster.front.address };
    await expect(host?.startWorker(settings)).rejects.toThrow(
      `EPHEMERA_ADVERTISE is ${cluster.front.address}, which is not an address of this machine`,
    );
    // The refused worker has released the host id.
    await host?.startWorker();
  } finally {
    await cluster.stop();
    await rm(folder, { recursive: true });
  }
});
