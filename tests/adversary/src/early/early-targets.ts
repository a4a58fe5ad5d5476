import { freePort } from '@ephemera/test-support';
import { type Contender, startHaproxy, startNginx } from '../contender.ts';
import { type PeerName, PEERS } from '../differential/peers.ts';
import { startTestbed } from '../testbed.ts';

/** Where the client is: directly before a proxy, or before an nginx that forwards to the proxy. */
export const PLACES = ['direct', 'behind nginx'] as const;
export type Place = (typeof PLACES)[number];

/** Who responds: the instance, or the proxy itself without an upstream. */
export type Responder = 'instance' | '404' | '400';

export interface EarlyTargets {
  /** A URL without a query. */
  url(peer: PeerName, place: Place, responder: Responder): string;
  stop(): Promise<void>;
}

/** Starts Ephemera, nginx and haproxy before an instance, and an nginx before each of the three. */
export async function startEarlyTargets(instancePort: number): Promise<EarlyTargets> {
  const testbed = await startTestbed();
  const contenders: Contender[] = [];
  const stop = async () => {
    await Promise.all(contenders.map((contender) => contender.stop()));
    await testbed.stop();
  };
  try {
    const id = await testbed.ready({ port: instancePort });
    const { publicPort } = await testbed.replica();
    const nginx = await startNginx('', (port) => nginxConfig(port, instancePort));
    contenders.push(nginx);
    const haproxy = await startHaproxy((port) => haproxyConfig(port, instancePort));
    contenders.push(haproxy);
    const direct = { ephemera: publicPort, nginx: nginx.port, haproxy: haproxy.port };
    const fronts = {
      ephemera: await freePort(),
      nginx: await freePort(),
      haproxy: await freePort(),
    };
    const pairs = PEERS.map((peer) => [fronts[peer], direct[peer]] as const);
    contenders.push(await startNginx('', (port) => frontConfig(port, pairs)));
    const paths: Readonly<Record<Responder, string>> = {
      instance: `/demo/${id}/up`,
      '404': '/nowhere/up',
      // A dot segment; the others are told to refuse this path.
      '400': `/demo/${id}/%2e%2e/up`,
    };
    return {
      url(peer, place, responder) {
        const port = (place === 'direct' ? direct : fronts)[peer];
        return `http://127.0.0.1:${port}${paths[responder]}`;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Forwards uploads of any length as they arrive, as Ephemera and haproxy do. */
function nginxConfig(port: number, instancePort: number): string {
  return `
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 0;
    if ($request_uri ~ ^/nowhere/) { return 404; }
    if ($request_uri ~ %2e%2e) { return 400; }
    location / {
      proxy_pass http://127.0.1.1:${instancePort}; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_request_buffering off;
    }
  }`;
}

function haproxyConfig(port: number, instancePort: number): string {
  return `defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend in
  bind 127.0.0.1:${port}
  http-request return status 404 if { path_beg /nowhere/ }
  http-request return status 400 if { path_sub %2e%2e }
  default_backend out
backend out
  server one 127.0.1.1:${instancePort}
`;
}

/** An nginx with its defaults: it speaks HTTP/1.0, and closes the connection behind each response. */
function frontConfig(port: number, pairs: readonly (readonly [from: number, to: number])[]) {
  const servers = pairs.map(
    ([from, to]) =>
      `  server { listen 127.0.0.1:${from}; location / { proxy_pass http://127.0.0.1:${to}; } }\n`,
  );
  return `\n  server { listen 127.0.0.1:${port}; }\n${servers.join('')}`;
}
