/**
 * A worker whose ports inject faults: `node worker.ts PLAN`. Its configuration is that of the
 * production worker.
 */
import { runApp } from '@ephemera/process';
import { createWorker, workerDependencies } from '@ephemera/worker';
import { readConfig } from '../../../../apps/worker/src/config.ts';
import { withoutWorkerGuards } from '../injection/guards.ts';
import { FaultInjector, withWorkerFaults } from '../injection/inject-faults.ts';
import { readPlan } from '../injection/process-plan.ts';
import { runTwice } from '../injection/run-twice.ts';

const { faults = [], without = [], twice } = readPlan();
const faulty = withWorkerFaults(workerDependencies, new FaultInjector(faults));
// The guard wrappers are outside the fault wrappers, so faults see the calls made without the
// guards.
const unguarded = withoutWorkerGuards(faulty, without);
const dependencies = twice === undefined ? unguarded : runTwice(unguarded, twice);
await runApp(() => createWorker(readConfig(), dependencies));
