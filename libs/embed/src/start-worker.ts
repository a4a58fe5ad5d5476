import type { TemplateSet } from '@ephemera/config';
import { DEFAULT_HOST_LISTEN, createWorker, workerDependencies } from '@ephemera/worker';
import type { WorkerDependencies } from '@ephemera/worker';
import type { Settings, Templates } from './options.ts';

/** As the defaults of a worker's own process. Durations in milliseconds. */
const WORKER = {
  networkInstances: 1_000,
  pullTimeout: 600_000,
  cpuPeriod: 10,
  spawnConcurrency: 8,
  killConcurrency: 32,
  hostListen: DEFAULT_HOST_LISTEN,
  tombstone: 3_600_000,
  /** It shares the process, and so the health checks of the application. */
  port: undefined,
  bind: '',
} as const;

/**
 * Starts the worker of this process. Its policy is that of the templates: of the file, if they are in
 * one, else of the options. Webhooks and logins of registries need a worker of its own.
 * @throws BootError if Docker cannot be used
 */
export async function startWorker(
  settings: Settings,
  { egressDns, maxInstances, maxMemory, ...host }: NonNullable<Settings['worker']>,
  templates: Templates,
): Promise<{ stop(): Promise<void> }> {
  const { redis, namespace, logLevel, signingKeys, docker } = settings;
  const worker = createWorker(
    {
      ...WORKER,
      ...{ redis, namespace, logLevel },
      dockerHost: docker ?? 'unix:///var/run/docker.sock',
      hostId: host.hostId,
      subnets: host.subnets,
      firewall: host.firewall,
      firewallImage: host.firewallImage,
      egress: { resolvers: egressDns, blocked: [] },
      capacity: { instances: maxInstances, memory: maxMemory, cpus: undefined },
      readLogins: () => new Map(),
      signingKeys: signingKeys.length > 0 ? signingKeys.join(',') : undefined,
      signingKeysFile: undefined,
      configFile: '',
      environment: {},
    },
    {
      ...workerDependencies,
      watchConfig: watchTemplates(templates),
      // The process belongs to the application. The worker has stopped, and its log says why.
      onHostIdTaken: () => undefined,
    },
  );
  try {
    await worker.start();
  } catch (error) {
    await worker.stop();
    throw error;
  }
  return worker;
}

/** Gives a worker what it uses of the configuration, of the templates of this process. */
function watchTemplates(templates: Templates): WorkerDependencies['watchConfig'] {
  return (_path, _logger, use) => {
    const read = (set: TemplateSet) => use({ ...set, webhooks: [] });
    let current = read(templates.current);
    const listeners: (() => void)[] = [];
    templates.onChange(() => {
      current = read(templates.current);
      for (const listener of listeners) listener();
    });
    return {
      get current() {
        return current;
      },
      issues: [],
      reload: () => undefined,
      onChange: (listener) => listeners.push(listener),
      close: () => undefined,
    };
  };
}
