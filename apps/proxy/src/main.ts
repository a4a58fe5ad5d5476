import { runApp } from '@ephemera/process';
import { createProxy } from '@ephemera/proxy';
import { readConfig } from './config.ts';

await runApp(() => createProxy(readConfig()));
