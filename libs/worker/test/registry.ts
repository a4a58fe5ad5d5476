import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, waitFor } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { buildImage } from '../src/docker/build-image.ts';

export interface Registry {
  /** `127.0.0.1:PORT`, the prefix of image names. */
  readonly address: string;
  /** The folder with its images. */
  readonly images: string;
  /** Its access log, one line per request. */
  log(): string;
  stop(): Promise<void>;
}

/**
 * Starts a registry on a free loopback port. Docker trusts loopback registries.
 * @param options.images the folder of another registry
 * @param options.htpasswd `user:hash` with a bcrypt hash: the registry wants a login
 */
export async function startRegistry(
  options: { readonly images?: string; readonly htpasswd?: string } = {},
): Promise<Registry> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-registry-'));
  const { images = join(folder, 'images'), htpasswd } = options;
  const config = join(folder, 'config.yml');
  const users = join(folder, 'htpasswd');
  if (htpasswd !== undefined) await writeFile(users, `${htpasswd}\n`);
  await writeFile(
    config,
    `version: 0.1
storage: { filesystem: { rootdirectory: ${images} } }
http: { addr: 127.0.0.1:${port} }
${htpasswd === undefined ? '' : `auth: { htpasswd: { realm: test, path: ${users} } }`}
`,
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await waitFor(
    'the registry',
    async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).status < 500,
  );
  return {
    address: `127.0.0.1:${port}`,
    images,
    log: () => chunks.join(''),
    async stop() {
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A request that a {@link faultyRegistry} forwards unless the test handles it. */
export type Fault = (req: IncomingMessage, res: ServerResponse, forward: () => void) => void;

/** Starts a proxy in front of a registry, with faults. Returns its `127.0.0.1:PORT`. */
export async function faultyRegistry(
  registry: Registry,
  fault: Fault,
): Promise<{ readonly address: string; stop(): void }> {
  const [host = '', port] = registry.address.split(':');
  const server = createServer((req, res) => {
    const forward = () => {
      const { method = 'GET', url = '/', headers } = req;
      const upstream = request({ host, port, method, path: url, headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(res);
      });
      upstream.on('error', () => res.destroy());
      req.pipe(upstream);
    };
    fault(req, res, forward);
  });
  const own = await freePort();
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${own}`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Builds a unique image, pushes it, and removes it from the host. */
export async function publishImage(docker: Docker, name: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-image-'));
  await writeFile(join(folder, 'Dockerfile'), 'FROM ephemera/demo\nCOPY content /content\n');
  await writeFile(join(folder, 'content'), randomBytes(4_000_000));
  await buildImage(docker, { context: folder, tag: name, args: {} }, () => undefined);
  await rm(folder, { recursive: true });
  const answer = await docker.getImage(name).push({ authconfig: { username: '', password: '' } });
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(answer, (error) => (error ? reject(error) : resolve()));
  });
  await docker.getImage(name).remove({ force: true });
}
