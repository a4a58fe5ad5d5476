import { join, relative } from 'node:path';
import { loadTemplates } from '@ephemera/config';
import { siteOf, stateRoot } from '../config.ts';
import type { Config } from '../config.ts';
import { keepSecret, prepareStateFolder } from '../state-folder.ts';
import { createReporter } from '../terminal/reporter.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { planApps, secret } from './apps.ts';
import { buildDemoImage, demoImage } from './build-demo-image.ts';
import { cleanCommand, createCleanUp, takeSnapshot } from './clean-up.ts';
import type { CleanUp } from './clean-up.ts';
import { findDocker } from './find-docker.ts';
import { firewallSettings } from './firewall-image.ts';
import { findRedis } from './find-redis.ts';
import { planPorts } from './plan-ports.ts';
import type { DockerDaemon } from './start-docker.ts';
import { onStopSignals, Stopped } from './stop-signals.ts';
import { writeScrapeTargets } from './scrape-targets.ts';
import { SupervisedProcess } from './supervised-process.ts';

/** The daemon may still create containers for a worker that died within this time, ms. */
const workerDeathMs = 60_000;

/**
 * Runs the whole product on this machine until Ctrl-C. Then removes everything that did not exist
 * before, also if the start fails or is interrupted.
 *
 * @returns the exit code
 * @throws BootError or ConfigError, after everything that it started was stopped
 */
export async function up(config: Config, options: UpOptions): Promise<number> {
  // A closed terminal accepts no more output. The clean-up continues without it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const report = createReporter(process.stdout);
  const running = new Running();
  process.on('exit', () => running.kill());
  const stop = onStopSignals(
    () => report.say('\n  Stopping. Press Ctrl-C again to force it.\n'),
    () => {
      report.say(forcedText(running));
      process.exit(130);
    },
  );
  try {
    await start(config, options, { report, stop, running });
    await new Promise((resolve) => {
      if (stop.aborted) resolve(undefined);
      else stop.addEventListener('abort', resolve);
    });
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  } finally {
    await shutDown(running, options, report);
  }
  return 0;
}

/** What a start has started so far, in order. */
class Running {
  daemon: DockerDaemon | undefined;
  redis: SupervisedProcess[] = [];
  /** Set before the first worker starts. */
  cleanUp: CleanUp | undefined;
  cleanCommand = '';
  workers: SupervisedProcess[] = [];
  /** Proxies and dashboard. */
  front: SupervisedProcess[] = [];

  /** Kills all processes. The daemon stops in order after SIGTERM. */
  kill(): void {
    for (const process of [...this.front, ...this.workers, ...this.redis]) process.kill();
    this.daemon?.terminate();
  }
}

interface UpContext {
  readonly report: Reporter;
  readonly stop: AbortSignal;
  readonly running: Running;
}

async function start(config: Config, options: UpOptions, around: UpContext): Promise<void> {
  const { report, stop, running } = around;
  const { stateFolder } = config;
  const begun = performance.now();
  report.say('\n  Ephemera\n');
  const templates = [...loadTemplates(config.configFile).templates.values()];
  const ports = await planPorts(config, options);
  const logs = join(stateFolder, 'logs');
  prepareStateFolder(stateRoot, stateFolder);

  const dockerHost = await findDocker(report, {
    dockerHost: config.dockerHost,
    logFile: join(logs, 'dockerd.log'),
    stop,
    onStarted: (daemon) => (running.daemon = daemon),
  });
  stop.throwIfAborted();
  const redisUrl = await findRedis(report, {
    configured: config.redis,
    stateFolder,
    secrets: stateRoot,
    supervise: (specs) =>
      (running.redis = specs.map((spec) => new SupervisedProcess(spec, report))),
    stop,
  });
  stop.throwIfAborted();
  const given = {
    ...config.environment,
    ...secret(config, 'EPHEMERA_REDIS_URL', redisUrl),
    DOCKER_HOST: dockerHost,
    EPHEMERA_CONFIG: config.configFile,
  };
  const firewall = await firewallSettings(report, config, { environment: given, stop });
  const environment = { ...given, ...firewall };
  const usesDemo = templates.some(({ image }) => image === demoImage);
  // Take the snapshot before a worker starts: workers fill pools before they are ready. Both
  // programs have ended when a failure of one of them is thrown.
  const [image, snapshot] = await Promise.allSettled([
    usesDemo && buildDemoImage(report, { stateFolder, environment, stop }),
    takeSnapshot(environment, stop),
  ]);
  if (image.status === 'rejected') throw image.reason;
  if (snapshot.status === 'rejected') throw snapshot.reason;
  const before = snapshot.value;
  running.cleanUp = createCleanUp({ before, environment, keep: options.keep, report });
  running.cleanCommand = cleanCommand(environment);

  const token = config.adminToken ?? keepSecret(stateFolder, 'admin-token');
  writeScrapeTargets(config, ports);
  const plan = planApps(config, ports, { dockerHost, redisUrl, token, firewall });
  running.workers = plan.workers.map((spec) => new SupervisedProcess(spec, report));
  running.front = plan.front.map((spec) => new SupervisedProcess(spec, report));
  const apps = [...running.workers, ...running.front];
  await report.step('Apps', async (onProgress) => {
    let ready = 0;
    onProgress(`0 of ${apps.length} ready`);
    await Promise.all(
      apps.map(async (app) => {
        await app.ready(stop);
        ready += 1;
        onProgress(`${ready} of ${apps.length} ready`);
      }),
    );
    onProgress(apps.map(({ name }) => name).join(', '));
  });
  report.say(
    welcome(config, { token, logs: relative('.', logs), tookMs: performance.now() - begun }),
  );
}

/**
 * Stops proxies and dashboard while the workers end the instances. Then stops the workers, removes
 * the rest, and stops Redis and the Docker daemon if they were started here.
 */
async function shutDown(running: Running, { keep }: UpOptions, report: Reporter): Promise<void> {
  const { front, workers, redis, cleanUp, daemon } = running;
  const stopEach = (processes: readonly SupervisedProcess[]) =>
    Promise.all(processes.map((process) => process.stop()));
  if (workers.length > 0) {
    await report.step('Stop', async (onProgress) => {
      const canDrain = workers.some(({ isAlive }) => isAlive);
      await Promise.all([stopEach(front), canDrain && cleanUp?.drain(onProgress)]);
      onProgress(workers.map(({ name }) => name).join(', '));
      await stopEach(workers);
      onProgress([...front, ...workers].map(({ name }) => name).join(', '));
    });
  }
  const containers = await cleanUp?.remove(workers.some((worker) => worker.hasDied(workerDeathMs)));
  await stopEach(redis);
  if (daemon) {
    // Containers end with their daemon. Kept ones and those of other users need it.
    if (containers === undefined ? keep : containers > 0) {
      daemon.leave();
      report.warn(
        `dockerd keeps running, because ${containers ?? 'some'} containers run on it. ` +
          `Stop it with: kill ${daemon.pid}`,
      );
    } else {
      await report.step('Docker', async (onProgress) => {
        onProgress('stopping dockerd');
        await daemon.stop();
        onProgress('dockerd stopped');
      });
    }
  }
  if (workers.length + redis.length > 0) report.done('Processes', 'all stopped');
}

function forcedText({ cleanUp, cleanCommand: command }: Running): string {
  const forced = '\n  Forced: all processes were killed.';
  if (!cleanUp) return `${forced} No instance was started.\n`;
  return (
    `${forced} Instances, their network and its firewall rules\n` +
    `  may remain on the Docker daemon. Remove them with: ${command}\n` +
    '  This removes the instances of earlier starts (--keep) too. Or start again: the next start\n' +
    '  takes over what remains and ends overdue instances.\n'
  );
}

export interface UpOptions {
  /** Leave the instances running at the end; their kill jobs stay in the queue. */
  readonly keep: boolean;
  readonly proxies: number;
  readonly workers: number;
}

/** The message after a successful start. */
function welcome(config: Config, made: { token: string; logs: string; tookMs: number }): string {
  const open = `${config.publicUrl}/${config.prefix}/new`;
  const { protocol } = new URL(config.publicUrl);
  const hostForm =
    config.domain === undefined ? '' : `\n    Instances      ${protocol}//{id}.${config.domain}/`;
  return `
  Ephemera is up (${(made.tookMs / 1000).toFixed(1)} s).

    Visitors       ${open}${hostForm}
    Control API    ${siteOf(config.adminHost, config.adminPort)}/v1/instances
    Dashboard      ${siteOf(config.adminHost, config.dashboardPort)}
    Admin token    ${made.token}
    Logs           ${made.logs}

  Try:

    curl -L ${open}

  Ctrl-C stops it.
`;
}
