/**
 * Installs what the tests need in addition to npm packages: Debian packages, a running Docker
 * Engine, and the demo image. The tests start their own Redis servers.
 */
import { join } from 'node:path';

import { runMain } from '@ephemera/process';

import { readConfig, stateRoot } from './config.ts';
import { prepareStateFolder } from './state-folder.ts';
import { createReporter } from './terminal/reporter.ts';
import { buildDemoImage } from './up/build-demo-image.ts';
import { findDocker } from './up/find-docker.ts';
import { installPackages, missingPackages, type Package } from './up/install-packages.ts';

const wanted: readonly Package[] = [
  { name: 'docker.io', program: 'dockerd' },
  { name: 'iptables', program: 'iptables' },
  { name: 'redis-server', program: 'redis-server' },
  { name: 'busybox-static', program: 'busybox' },
  { name: 'iproute2', program: 'ip' },
  { name: 'curl', program: 'curl' },
  { name: 'docker-compose', program: 'docker-compose' },
  { name: 'debootstrap', program: 'debootstrap' },
  { name: 'chromium', program: 'chromium' },
  { name: 'docker-registry', program: 'docker-registry' },
];

await runMain(async () => {
  const config = readConfig();
  const report = createReporter(process.stdout);
  const logs = join(config.stateFolder, 'logs');
  prepareStateFolder(stateRoot, config.stateFolder);
  const missing = missingPackages(wanted);
  if (missing.length > 0) {
    await report.step('Install the packages for the tests', (onProgress) =>
      installPackages(missing, onProgress),
    );
  }
  const dockerHost = await findDocker(report, {
    dockerHost: config.dockerHost,
    logFile: join(logs, 'dockerd.log'),
    stop: new AbortController().signal,
  });
  await buildDemoImage(report, {
    stateFolder: config.stateFolder,
    environment: { ...config.environment, DOCKER_HOST: dockerHost },
  });
});
