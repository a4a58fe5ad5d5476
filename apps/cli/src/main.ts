#!/usr/bin/env node
import { runMain } from '@ephemera/process';

import { runCli } from './cli.ts';
import { createContext } from './context.ts';

await runMain(async () => {
  const { stdout, stderr, env } = process;
  process.exitCode = await runCli(process.argv.slice(2), createContext({ stdout, stderr, env }));
});
