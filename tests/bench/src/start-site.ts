import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, startRedis } from '@ephemera/test-support';
import { surroundings } from './config.ts';

const apps = join(import.meta.dirname, '../..');

/** One proxy and one worker of the bench's own, as real processes with a Redis beside them. */
export interface Site {
  readonly namespace: string;
  readonly publicUrl: string;
  readonly adminUrl: string;
  readonly token: string;
  stop(): Promise<void>;
}

export async function startSite(templates: string): Promise<Site> {
  const namespace = `bench-${randomBytes(4).toString('hex')}`;
  const token = randomBytes(24).toString('base64url');
  const dir = await mkdtemp(join(tmpdir(), 'ephemera-bench-'));
  await writeFile(join(dir, 'ephemera.yml'), templates);
  const redis = await startRedis();
  const [publicPort, adminPort, workerPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const env = {
    ...surroundings,
    EPHEMERA_REDIS_URL: redis.url,
    EPHEMERA_NAMESPACE: namespace,
    EPHEMERA_CONFIG: join(dir, 'ephemera.yml'),
    EPHEMERA_ADMIN_TOKEN: token,
    EPHEMERA_LOG_LEVEL: 'warn',
    EPHEMERA_PUBLIC_PORT: String(publicPort),
    EPHEMERA_ADMIN_PORT: String(adminPort),
    EPHEMERA_WORKER_PORT: String(workerPort),
  };
  const run = (file: string) =>
    spawn(process.execPath, [join(apps, file)], { env, stdio: ['ignore', 'inherit', 'inherit'] });
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const child of children.reverse()) await end(child);
    await once(run('worker/src/remove-all.ts'), 'exit');
    await redis.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for (const [file, port] of [
      ['worker/src/main.ts', workerPort],
      ['proxy/src/main.ts', adminPort],
    ] as const) {
      const child = run(file);
      children.push(child);
      await ready(child, port);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    namespace,
    token,
    publicUrl: `http://127.0.0.1:${publicPort}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    stop,
  };
}

async function ready(child: ChildProcess, port: number): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error('an app ended at its start');
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error('an app did not become ready');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
