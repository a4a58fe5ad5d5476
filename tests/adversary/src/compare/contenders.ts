import { type Contender, startHaproxy, startNginx } from '../contender.ts';

/** Debian's haproxy with its defaults, in front of one server. */
export async function startPlainHaproxy(upstreamPort: number): Promise<Contender> {
  return await startHaproxy(
    (port) => `defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server one 127.0.1.1:${upstreamPort}
`,
  );
}

/** Debian's nginx, configured as its manual recommends for a proxy with WebSockets. */
export async function startPlainNginx(upstreamPort: number): Promise<Contender> {
  return await startNginx(
    '',
    (port) => `
  server { listen 127.0.0.1:${port}; location / {
    proxy_pass http://127.0.1.1:${upstreamPort}; proxy_http_version 1.1;
    proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;
    proxy_request_buffering off; proxy_read_timeout 5s;
  } }`,
  );
}
