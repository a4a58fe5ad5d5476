/** A worker whose containers get Docker's lowest free address, configured like the product's own. */
import { runApp } from '@ephemera/process';
import { createWorker, workerDependencies } from '@ephemera/worker';
import { readConfig } from '../../../../apps/worker/src/config.ts';
import { withoutAddressFence } from '../churn/fences.ts';

await runApp(() => createWorker(readConfig(), withoutAddressFence(workerDependencies)));
