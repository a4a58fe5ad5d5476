import { runApp } from '@ephemera/process';
import { createWorker } from '@ephemera/worker';
import { readConfig } from './config.ts';

await runApp(() => createWorker(readConfig()));
