/** A worker whose ports inject faults: `node worker.ts PLAN`, configured like the product's own. */
import { runApp } from '@ephemera/process';
import { createWorker, workerDependencies } from '@ephemera/worker';
import { readConfig } from '../../../../apps/worker/src/config.ts';
import { withoutWorkerGuards } from '../injection/guards.ts';
import { FaultInjector, withWorkerFaults } from '../injection/inject-faults.ts';
import { readPlan } from '../injection/process-plan.ts';
import { runTwice } from '../injection/run-twice.ts';

const { faults = [], without = [], twice } = readPlan();
const faulty = withWorkerFaults(workerDependencies, new FaultInjector(faults));
// Guards are removed outside of the faults, which then see the calls that are made without them.
const unguarded = withoutWorkerGuards(faulty, without);
const dependencies = twice === undefined ? unguarded : runTwice(unguarded, twice);
await runApp(() => createWorker(readConfig(), dependencies));
