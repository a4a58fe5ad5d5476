import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Child,
  freePort,
  installed,
  installPackage,
  reaches,
  startChild,
  waitFor,
} from '@ephemera/test-support';

/** Another proxy, run as a process. */
export interface Contender extends Pick<Child, 'pid' | 'log'> {
  readonly port: number;
  stop(): Promise<void>;
}

/** Returns a configuration. @param folder for the files that the proxy writes */
export type Config = (port: number, folder: string) => string;

/** Starts Debian's haproxy. @throws an error with its output if it exits */
export async function startHaproxy(config: Config): Promise<Contender> {
  return await start(await installed('haproxy'), ['-db', '-f'], config);
}

/**
 * Starts Debian's Caddy with a Caddyfile whose global options begin in its first line of code. It opens
 * no port but its own, and writes only below its folder.
 */
export async function startCaddy(config: Config): Promise<Contender> {
  const program = await installed('caddy');
  return await start(program, ['run', '--adapter', 'caddyfile', '--config'], (port, folder) =>
    config(port, folder).replace(
      /^\{$/m,
      `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\tstorage file_system ${folder}`,
    ),
  );
}

/** Returns the path of a dynamic module of nginx. Installs its Debian package if it is missing. */
export async function installedModule(file: string, debianPackage: string): Promise<string> {
  const path = `/usr/lib/nginx/modules/${file}`;
  if (!existsSync(path)) await installPackage(debianPackage);
  return path;
}

/**
 * Starts Debian's nginx, with `events` and `http` blocks. It writes only below its folder.
 * @param module path of a dynamic module
 */
export async function startNginx(
  events: string,
  http: Config,
  module?: string,
): Promise<Contender> {
  const program = await installed('nginx', 'nginx-light');
  return await start(
    program,
    ['-g', 'daemon off; error_log stderr crit;', '-c'],
    (
      port,
      folder,
    ) => `${module === undefined ? '' : `load_module ${module};\n`}pid ${folder}/nginx.pid;
worker_rlimit_nofile 10000;
events { ${events} }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/a; uwsgi_temp_path ${folder}/b; scgi_temp_path ${folder}/c;
${http(port, folder)}
}
`,
  );
}

async function start(program: string, args: readonly string[], config: Config): Promise<Contender> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-contender-'));
  // The workers of nginx run as another user, and buffer large uploads in a folder below.
  await chmod(folder, 0o711);
  const port = await freePort();
  const file = join(folder, 'config');
  await writeFile(file, config(port, folder));
  const child = startChild(program, [...args, file]);
  await waitFor(`${program} to listen`, () => child.ended() !== undefined || reaches(port));
  if (child.ended() !== undefined) throw new Error(`${program} ended:\n${child.log()}`);
  return {
    port,
    pid: child.pid,
    log: () => child.log(),
    async stop() {
      await child.stop(5_000);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
