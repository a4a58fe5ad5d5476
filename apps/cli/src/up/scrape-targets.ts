import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { siteOf, type Config } from '../config.ts';
import type { PortPlan } from './plan-ports.ts';

/**
 * Writes the addresses that serve metrics to `proxies.json` and `workers.json` in the state folder, as
 * target files of Prometheus (`file_sd_configs`). deploy/prometheus/local.yml names them. They remain
 * after the end, so that alerts report that nothing answers.
 */
export function writeScrapeTargets(
  { stateFolder, adminHost }: Pick<Config, 'stateFolder' | 'adminHost'>,
  ports: Pick<PortPlan, 'proxies' | 'workers'>,
): void {
  for (const kind of ['proxies', 'workers'] as const) {
    const targets = ports[kind].map((port) => new URL(siteOf(adminHost, port)).host);
    const file = join(stateFolder, `${kind}.json`);
    // Prometheus reads a file as soon as it changes, so that it must be complete.
    writeFileSync(`${file}.new`, `${JSON.stringify([{ targets }])}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}
