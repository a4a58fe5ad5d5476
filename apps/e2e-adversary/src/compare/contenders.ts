import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, waitFor } from '@ephemera/testing';
import { startChild } from '../child.ts';
import { installed } from '../installed.ts';

export interface Contender {
  readonly port: number;
  stop(): Promise<void>;
}

/** Debian's haproxy as it comes, before one server. */
export async function startPlainHaproxy(upstreamPort: number): Promise<Contender> {
  return await start(await installed('haproxy'), ['-db', '-f'], (port) => [
    ['defaults', 'mode http', 'timeout connect 2s', 'timeout client 5s', 'timeout server 5s'],
    ['frontend in', `bind 127.0.0.1:${port}`, 'default_backend out'],
    ['backend out', `server one 127.0.1.1:${upstreamPort}`],
  ]);
}

/** Debian's nginx as its manual has it for a proxy that lets WebSockets through. */
export async function startPlainNginx(upstreamPort: number): Promise<Contender> {
  const program = await installed('nginx', 'nginx-light');
  return await start(
    program,
    ['-g', 'daemon off; error_log stderr crit;', '-c'],
    (port, folder) => [
      [
        `pid ${folder}/nginx.pid;\nevents {}\nhttp { access_log off;`,
        `client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;`,
        `fastcgi_temp_path ${folder}/a; uwsgi_temp_path ${folder}/b; scgi_temp_path ${folder}/c;`,
        `server { listen 127.0.0.1:${port}; location / {`,
        `proxy_pass http://127.0.1.1:${upstreamPort}; proxy_http_version 1.1;`,
        'proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;',
        'proxy_request_buffering off; proxy_read_timeout 5s; } } }',
      ],
    ],
  );
}

async function start(
  program: string,
  args: readonly string[],
  sections: (port: number, folder: string) => readonly (readonly string[])[],
): Promise<Contender> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-contender-'));
  const port = await freePort();
  const config = join(folder, 'config');
  const text = sections(port, folder).map((lines) => lines.join('\n  '));
  await writeFile(config, `${text.join('\n')}\n`);
  const child = startChild(program, [...args, config]);
  await waitFor(`${program} to listen`, () => child.ended() !== undefined || reaches(port));
  if (child.ended() !== undefined) throw new Error(`${program} ended:\n${child.log()}`);
  return {
    port,
    async stop() {
      await child.stop(5_000);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function reaches(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(port, '127.0.0.1', () => resolve(true));
  probe.on('error', () => resolve(false));
  const reached = await promise;
  probe.destroy();
  return reached;
}
