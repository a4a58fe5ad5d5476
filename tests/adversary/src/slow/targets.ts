import { readFileSync } from 'node:fs';
import { type Contender, startHaproxy, startNginx } from '../contender.ts';
import { startTestbed } from '../testbed.ts';

/** The ports of the attacked instance, and of the one that other clients use. */
export interface Ports {
  readonly attacked: number;
  readonly asked: number;
}

/** The proxy in front of both instances. */
export interface Target extends Pick<Contender, 'port' | 'stop'> {
  /** The process that holds the connections. */
  readonly pid: number;
  /** The path that other clients request. */
  readonly asked: string;
  /** The URL of the attack, with a slash at the end. */
  readonly attacked: string;
}

/**
 * Ephemera, and the proxies that it is compared with. Each forwards a body as it arrives, on kept
 * connections. `machine` is the cost of an attack that bypasses the proxy of the other clients,
 * Ephemera.
 */
export const TARGETS = {
  async ephemera(ports: Ports): Promise<Target> {
    const testbed = await startTestbed();
    const { publicPort: port, pid } = await testbed.replica();
    const path = async (port: number) => `/demo/${await testbed.ready({ port })}/`;
    const asked = await path(ports.asked);
    const attacked = `http://127.0.0.1:${port}${await path(ports.attacked)}`;
    return { port, pid, asked, attacked, stop: () => testbed.stop() };
  },

  async machine(ports: Ports): Promise<Target> {
    const attacked = `http://127.0.1.1:${ports.attacked}/`;
    return { ...(await this.ephemera(ports)), attacked };
  },

  async haproxy({ attacked, asked }: Ports): Promise<Target> {
    const haproxy = await startHaproxy(
      (port) => `global
  maxconn 8000
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout http-request 15s
  timeout http-keep-alive 75s
  http-reuse always
frontend in
  bind 127.0.0.1:${port}
  use_backend attacked if { path_beg /attacked/ }
  default_backend asked
backend attacked
  http-request replace-path /[^/]*(/.*) \\1
  server one 127.0.1.1:${attacked}
backend asked
  http-request replace-path /[^/]*(/.*) \\1
  server one 127.0.1.1:${asked}
`,
    );
    return { ...haproxy, ...pathsOn(haproxy) };
  },

  async nginx({ attacked, asked }: Ports): Promise<Target> {
    const nginx = await startNginx(
      'worker_connections 8000;',
      (port) => `
  upstream attacked { server 127.0.1.1:${attacked}; keepalive 64; }
  upstream asked { server 127.0.1.1:${asked}; keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
    location /attacked/ { proxy_pass http://attacked/; }
    location /asked/ { proxy_pass http://asked/; }
  }`,
    );
    return { ...nginx, pid: firstChild(nginx.pid), ...pathsOn(nginx) };
  },
} as const;

export type Through = keyof typeof TARGETS;

const pathsOn = ({ port }: Pick<Contender, 'port'>) => ({
  asked: '/asked/',
  attacked: `http://127.0.0.1:${port}/attacked/`,
});

/** nginx serves from a child of the started process. */
function firstChild(pid: number): number {
  const [child = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return Number(child);
}
