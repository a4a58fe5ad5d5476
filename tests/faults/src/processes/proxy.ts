/**
 * A proxy whose ports inject faults: `node proxy.ts PLAN`. Its configuration is that of the
 * production proxy.
 */
import { runApp } from '@ephemera/process';
import { createProxy, proxyDependencies } from '@ephemera/proxy';
import { readConfig } from '../../../../apps/proxy/src/config.ts';
import { withoutProxyGuards } from '../injection/guards.ts';
import { FaultInjector, withProxyFaults } from '../injection/inject-faults.ts';
import { readPlan } from '../injection/process-plan.ts';

const { faults = [], without = [] } = readPlan();
const faulty = withProxyFaults(proxyDependencies, new FaultInjector(faults));
await runApp(() => createProxy(readConfig(), withoutProxyGuards(faulty, without)));
