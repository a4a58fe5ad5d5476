#!/usr/bin/env node
import { runMain } from '@ephemera/process';

import { runCli } from './cli.ts';
import { createContext } from './context.ts';

/** The published package runs on the Node of its user. */
const MIN_NODE_MAJOR = 22;

await runMain(async () => {
  const { stdout, stderr, env } = process;
  const context = createContext({ stdout, stderr, env }, () => process.stdin);
  process.exitCode = await runCli(process.argv.slice(2), context);
}, MIN_NODE_MAJOR);
