import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, waitFor } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { buildImage } from '../src/docker/build-image.ts';

export interface Registry {
  /** `127.0.0.1:PORT`, the prefix of image names. */
  readonly address: string;
  /** Its access log, one line per request. */
  log(): string;
  stop(): Promise<void>;
}

/** Starts a registry on a free loopback port. Docker trusts loopback registries. */
export async function startRegistry(): Promise<Registry> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-registry-'));
  const config = join(folder, 'config.yml');
  await writeFile(
    config,
    `version: 0.1
storage: { filesystem: { rootdirectory: ${folder}/images } }
http: { addr: 127.0.0.1:${port} }
`,
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await waitFor('the registry', async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).ok);
  return {
    address: `127.0.0.1:${port}`,
    log: () => chunks.join(''),
    async stop() {
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true, force: true });
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
