import { freePort } from '@ephemera/test-support';
import { type Contender, startHaproxy, startNginx } from '../contender.ts';
import { startTestbed } from '../testbed.ts';
import type { Form, Message, To } from './message.ts';

export type PeerName = 'ephemera' | 'nginx' | 'haproxy';
export const PEERS: readonly PeerName[] = ['ephemera', 'nginx', 'haproxy'];
/** The domain of the host form. */
const DOMAIN = 'apps.test';
/** How long an instance may take to begin its response, s. */
const RESPONSE_TIMEOUT = 2;

/** Ports of upstreams on 127.0.1.1, by the proxy in front of them; as many for each proxy. */
export type UpstreamPorts = Readonly<Record<PeerName, readonly number[]>>;

/** The proxies. Each of their upstreams has an index, so that concurrent messages have their own. */
export interface Peers {
  /** The port of a proxy that leads to its upstream with this index. */
  port(peer: PeerName, form: Form, index: number): number;
  /** Where the bytes of a message lead, by Ephemera's rules. */
  to(form: Form, index: number): To;
  stop(): Promise<void>;
}

/** Starts Ephemera in each form, Debian's nginx and Debian's haproxy. */
export async function startPeers(upstreams: UpstreamPorts): Promise<Peers> {
  const testbed = await startTestbed();
  const contenders: Contender[] = [];
  const stop = async () => {
    await Promise.all(contenders.map((contender) => contender.stop()));
    await testbed.stop();
  };
  try {
    const ids: string[] = [];
    for (const port of upstreams.ephemera) ids.push(await testbed.ready({ port }));
    const env = { EPHEMERA_RESPONSE_TIMEOUT: `${RESPONSE_TIMEOUT}s`, EPHEMERA_LOG_LEVEL: 'debug' };
    const [path, host, trusted] = await Promise.all([
      testbed.replica({ env }),
      testbed.replica({
        env: { ...env, EPHEMERA_DOMAIN: DOMAIN, EPHEMERA_PUBLIC_URL: `http://${DOMAIN}` },
      }),
      testbed.replica({ env: { ...env, EPHEMERA_TRUSTED_PROXIES: '127.0.0.1' } }),
    ]);
    const replicas = { path, host, trusted };
    const portsOf = async (peer: 'nginx' | 'haproxy') =>
      await Promise.all(
        upstreams[peer].map(async (upstream) => ({ port: await freePort(), upstream })),
      );
    const ports = { nginx: await portsOf('nginx'), haproxy: await portsOf('haproxy') };
    contenders.push(await startHaproxy((port) => haproxy(port, ports.haproxy)));
    contenders.push(await startNginx('', (port) => nginx(port, ports.nginx)));
    return {
      port(peer, form, index) {
        const port = peer === 'ephemera' ? replicas[form].publicPort : ports[peer][index]?.port;
        if (port === undefined) throw new Error(`${peer} has no upstream ${index}`);
        return port;
      },
      to(form, index) {
        const id = ids[index] ?? '';
        const prefix = form === 'host' ? '' : `/demo/${id}`;
        return {
          id,
          at: (at) => prefix + at,
          host: form === 'host' ? `${id}.${DOMAIN}` : 'a.example',
          upstreamPort: upstreams.ephemera[index] ?? 0,
        };
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Forwarded {
  readonly port: number;
  readonly upstream: number;
}

/** Debian's haproxy with its defaults. */
function haproxy(port: number, ports: readonly Forwarded[]): string {
  return `defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server ${RESPONSE_TIMEOUT}s
  timeout tunnel 10s
frontend unused
  bind 127.0.0.1:${port}
${ports
  .map(
    (pair, index) => `frontend in${index}
  bind 127.0.0.1:${pair.port}
  default_backend out${index}
backend out${index}
  server one 127.0.1.1:${pair.upstream}
`,
  )
  .join('')}`;
}

/** Debian's nginx with its defaults, and with what its manual says about WebSockets. */
function nginx(port: number, ports: readonly Forwarded[]): string {
  return `
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server { listen 127.0.0.1:${port}; }
${ports
  .map(
    (pair) => `  server { listen 127.0.0.1:${pair.port}; location / {
    proxy_pass http://127.0.1.1:${pair.upstream}; proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;
    proxy_read_timeout ${RESPONSE_TIMEOUT}s;
  } }
`,
  )
  .join('')}`;
}

/** Returns whether a message is sent in a form. */
export function isSentIn(message: Message, form: Form): boolean {
  return (message.forms ?? ['path', 'host']).includes(form);
}
