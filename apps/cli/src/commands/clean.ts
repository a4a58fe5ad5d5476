import { BootError } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';

import { requireCheckout } from '../config.ts';
import type { Config } from '../config.ts';
import type { CliContext } from '../context.ts';
import { createReporter } from '../terminal/reporter.ts';
import type { Screen } from '../terminal/reporter.ts';
import { createTextWriter } from '../terminal/visible.ts';
import { clean as removeAll } from '../up/clean-up.ts';
import { firewallSettings } from '../up/firewall-image.ts';
import { isPortFree } from '../up/plan-ports.ts';

/**
 * Removes everything of the namespace from the Docker daemon of this machine: instances of all
 * starts, networks and firewall rules.
 *
 * @throws BootError while Ephemera runs, or if something could not be removed
 */
async function removeDeployment(config: Config, screen: Screen): Promise<string> {
  const { host, publicPort, environment, configFile } = config;
  if (!(await isPortFree(host, publicPort))) {
    throw new BootError(
      `Port ${publicPort} is in use, so Ephemera seems to run. It would recreate what is removed.\n` +
        'Stop it with Ctrl-C first, or end its instances with: ephemera kill --all',
    );
  }
  const firewall = await firewallSettings(createReporter(screen), config, { environment });
  return removeAll({ ...environment, ...firewall, EPHEMERA_CONFIG: configFile });
}

export const clean = buildCommand({
  async func(this: CliContext) {
    requireCheckout('clean');
    const { write, end } = createTextWriter(this.process.stdout, false);
    write(`${await removeDeployment(this.config(), this.process.stderr)}\n`);
    end();
  },
  parameters: {},
  docs: { brief: 'Remove everything of a stopped deployment from the Docker daemon' },
});
