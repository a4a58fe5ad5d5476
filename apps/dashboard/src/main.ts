import { createDashboard } from '@ephemera/dashboard';
import { runApp } from '@ephemera/process';
import { readConfig } from './config.ts';

await runApp(() => createDashboard(readConfig()));
