#!/usr/bin/env node
import { BootError } from '@ephemera/domain';
import { runMain } from '@ephemera/process';

import { createAdminApi, type AdminApi } from './admin-api.ts';
import { readStoredToken } from './admin-token.ts';
import { clean } from './commands/clean.ts';
import { get } from './commands/get.ts';
import { kill } from './commands/kill.ts';
import { link } from './commands/link.ts';
import { logs } from './commands/logs.ts';
import { ls } from './commands/ls.ts';
import { renew } from './commands/renew.ts';
import { run } from './commands/run.ts';
import { token } from './commands/token.ts';
import { readConfig } from './config.ts';
import { help } from './help.ts';

const commands: Readonly<Record<string, (api: AdminApi, args: string[]) => Promise<string>>> = {
  run,
  ls,
  get,
  renew,
  kill,
  logs,
  link,
};

await runMain(async () => {
  const [name = '--help', ...args] = process.argv.slice(2);
  if ([name, ...args].some((word) => word === '--help' || word === '-h')) {
    process.stdout.write(help);
    return;
  }
  if (name === 'token') {
    process.stdout.write(`${token(args)}\n`);
    return;
  }
  const config = readConfig();
  if (name === 'up') {
    const { up } = await import('./up/up.ts');
    process.exitCode = await up(config, args);
    return;
  }
  if (name === 'clean') {
    process.stdout.write(`${await clean(config)}\n`);
    return;
  }
  const command = commands[name];
  if (!command) throw new BootError(`There is no command "${name}". See: ephemera --help`);
  const api = createAdminApi(
    config.adminUrl,
    config.adminToken ?? readStoredToken(config.stateFolder),
  );
  const said = await command(api, args);
  if (said !== '') process.stdout.write(`${said}\n`);
});
