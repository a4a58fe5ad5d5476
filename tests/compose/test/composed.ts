import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { type Part, partsOf } from './parts.ts';
import { root, run } from './run.ts';
import { echoTemplate } from './websocket-echo.ts';

/** A deployment started with the compose file, with its own names, ports and addresses. */
export interface Composed {
  readonly project: string;
  readonly bridge: string;
  readonly publicUrl: string;
  readonly adminUrl: string;
  readonly dashboardUrl: string;
  readonly token: string;
  parts(): Promise<Part[]>;
  /** The last log lines of every service. */
  log(): Promise<string>;
  /** Stops the deployment and removes its containers, networks and volume. */
  down(): Promise<void>;
}

/** Builds the images and starts the deployment as the documentation describes. */
export async function composeUp(scale: Readonly<Record<string, number>>): Promise<Composed> {
  const project = `e2e${randomBytes(4).toString('hex')}`;
  const bridge = `eph-${project.slice(3)}`;
  const image = 'ephemera-e2e/ephemera';
  const token = randomBytes(24).toString('base64url');
  const ports = [await freePort(), await freePort(), await freePort()];
  const subnet = `10.${randomInt(240, 250)}`;
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-compose-'));
  const config = join(folder, 'ephemera.yml');
  await writeFile(
    config,
    (await readFile(join(root, 'ephemera.yml'), 'utf8')) + echoTemplate(image),
  );

  const input = Object.entries(process.env).filter(([name]) => !name.startsWith('EPHEMERA_'));
  const env = {
    ...Object.fromEntries(input),
    // The builder of the daemon needs no additional program.
    COMPOSE_DOCKER_CLI_BUILD: '0',
    COMPOSE_PROJECT_NAME: project,
    EPHEMERA_NAMESPACE: project,
    EPHEMERA_IMAGE: image,
    EPHEMERA_CONFIG: config,
    EPHEMERA_ADMIN_TOKEN: token,
    EPHEMERA_REDIS_PASSWORD: randomBytes(24).toString('hex'),
    EPHEMERA_SUBNET: `${subnet}.0.0/16`,
    EPHEMERA_SUBNET_INFRASTRUCTURE: `${subnet}.0.0/24`,
    EPHEMERA_SUBNET_CONTROL: `10.229.${randomInt(256)}.0/24`,
    EPHEMERA_BRIDGE: bridge,
    EPHEMERA_PUBLIC_PORT: String(ports[0]),
    EPHEMERA_ADMIN_PORT: String(ports[1]),
    EPHEMERA_DASHBOARD_PORT: String(ports[2]),
  };
  const down = async (): Promise<void> => {
    await run(join(root, 'deploy/down'), ['-v'], env);
    await rm(folder, { recursive: true, force: true });
  };
  const scales = Object.entries(scale).flatMap(([service, count]) => [
    '--scale',
    `${service}=${count}`,
  ]);
  try {
    // The proxy, the worker and the dashboard share an image.
    await run('docker-compose', ['build', 'proxy', 'demo-image'], env);
    await run('docker-compose', ['up', '-d', ...scales], env);
  } catch (error) {
    await down();
    throw error;
  }
  return {
    project,
    bridge,
    publicUrl: `http://127.0.0.1:${ports[0]}`,
    adminUrl: `http://127.0.0.1:${ports[1]}`,
    dashboardUrl: `http://127.0.0.1:${ports[2]}`,
    token,
    parts: () => partsOf(project),
    log: () => run('docker-compose', ['logs', '--no-color', '--tail=20'], env),
    down,
  };
}
