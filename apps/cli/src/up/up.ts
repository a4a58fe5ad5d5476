import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';

import { loadTemplates } from '@ephemera/config';

import { createAdminApi, type AdminApi } from '../admin-api.ts';
import { readStoredToken, makeToken } from '../admin-token.ts';
import { siteOf, type Config } from '../config.ts';
import { createReporter, type Reporter } from '../terminal/reporter.ts';
import { planApps } from './apps.ts';
import { buildDemoImage, demoImage } from './build-demo-image.ts';
import { findDocker } from './find-docker.ts';
import { findRedis } from './find-redis.ts';
import { killCreatedSince, createdIds } from './kill-created-since.ts';
import type { UpOptions } from './options.ts';
import { planPorts } from './plan-ports.ts';
import { onStopSignals, Stopped } from './stop-signals.ts';
import { SupervisedProcess, type Supervise } from './supervised-process.ts';
import { findLeftovers, cleanUpDocker, type Leftovers } from './clean-up-docker.ts';
import { welcome } from './welcome.ts';

/**
 * Brings up the whole product on this machine, and keeps it up until Ctrl-C.
 *
 * @returns the exit code
 * @throws BootError or ConfigError, with all that it had started stopped again
 */
export async function up(config: Config, options: UpOptions): Promise<number> {
  const report = createReporter(process.stdout);
  const stages: SupervisedProcess[][] = [];
  process.on('exit', () => stages.flat().forEach((started) => started.kill()));
  const stop = onStopSignals(
    () => report.say('\n  Stopping. Once more forces it.\n'),
    () => process.exit(130),
  );
  const supervise: Supervise = (specs) => {
    const started = specs.map((spec) => new SupervisedProcess(spec, report));
    stages.push(started);
    return started;
  };
  let tidy = (): Promise<void> => Promise.resolve();
  const cleanUp = (left: Leftovers, environment: NodeJS.ProcessEnv): void => {
    if (!options.keep) tidy = () => cleanUpDocker(left, environment, report);
  };
  try {
    const around = { report, stop, supervise, cleanUp };
    const { api, before, environment } = await start(config, options, around);
    await new Promise((resolve) => stop.addEventListener('abort', resolve));
    if (options.keep)
      report.say('  Instances stay, to end at their time when Ephemera runs again.');
    else {
      await killInstances(api, before, report);
      cleanUp({ instances: before, network: false }, environment);
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  } finally {
    await stopAll(stages, report);
    await tidy();
  }
  return 0;
}

interface UpContext {
  readonly report: Reporter;
  readonly stop: AbortSignal;
  readonly supervise: Supervise;
  /** From now on the end takes everything off the Docker daemon but what was left before. */
  readonly cleanUp: (left: Leftovers, environment: NodeJS.ProcessEnv) => void;
}

interface Started {
  readonly api: AdminApi;
  /** The instances that earlier starts have left. */
  readonly before: ReadonlySet<string>;
  /** For programs that speak to the Docker daemon. */
  readonly environment: NodeJS.ProcessEnv;
}

async function start(config: Config, options: UpOptions, around: UpContext): Promise<Started> {
  const { report, stop, supervise, cleanUp } = around;
  const { stateFolder } = config;
  const begun = performance.now();
  report.say('\n  Ephemera\n');
  const templates = [...loadTemplates(config.configFile).templates.values()];
  const ports = await planPorts(config, options);
  const logs = join(stateFolder, 'logs');
  mkdirSync(logs, { recursive: true });

  const dockerHost = await findDocker(report, {
    dockerHost: config.dockerHost,
    logFile: join(logs, 'dockerd.log'),
    stop,
  });
  stop.throwIfAborted();
  const redisUrl = await findRedis(report, {
    configuredUrl: config.redisUrl,
    tls: config.redisTls,
    stateFolder,
    supervise,
    stop,
  });
  stop.throwIfAborted();
  const environment = {
    ...config.environment,
    DOCKER_HOST: dockerHost,
    EPHEMERA_CONFIG: config.configFile,
  };
  if (templates.some(({ image }) => image === demoImage)) {
    await buildDemoImage(report, { stateFolder, environment });
    stop.throwIfAborted();
  }

  // Workers begin to fill pools before they, let alone all apps, are ready.
  cleanUp(await findLeftovers(environment), environment);
  stop.throwIfAborted();

  const token = config.adminToken ?? readStoredToken(stateFolder) ?? makeToken(stateFolder);
  const apps = planApps(config, ports, { dockerHost, redisUrl, token }).flatMap(supervise);
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
  const api = createAdminApi(siteOf(config.adminHost, config.adminPort), token);
  const before = await createdIds(api);
  report.say(
    welcome(config, { token, logs: relative('.', logs), tookMs: performance.now() - begun }),
  );
  return { api, before, environment };
}

async function killInstances(
  api: AdminApi,
  before: ReadonlySet<string>,
  report: Reporter,
): Promise<void> {
  try {
    const left = await report.step('Instances', (onProgress) =>
      killCreatedSince(api, before, onProgress),
    );
    if (left > 0) report.warn(`${left} instances are still ending; the next start sees to them.`);
  } catch (error) {
    report.warn(`The instances could not be killed: ${(error as Error).message}`);
    report.warn('They end at their time when Ephemera runs again.');
  }
}

/** Stops the last started first: what takes requests, then what serves them, then Redis. */
async function stopAll(stages: readonly SupervisedProcess[][], report: Reporter): Promise<void> {
  if (stages.length === 0) return;
  await report.step('Stop', async (onProgress) => {
    for (const stage of stages.toReversed()) {
      onProgress(stage.map(({ name }) => name).join(', '));
      await Promise.all(stage.map((started) => started.stop()));
    }
    onProgress('nothing is left running');
  });
}
