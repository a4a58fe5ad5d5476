import { runApp } from '@ephemera/process';
import { createWorker, workerDependencies } from '@ephemera/worker';
import { readConfig } from '../../../apps/worker/src/config.ts';

// A worker whose registration always succeeds, without the checks in Redis.

await runApp(() =>
  createWorker(readConfig(), {
    ...workerDependencies,
    createStore(...args) {
      const store = workerDependencies.createStore(...args);
      const hostRegistry = {
        ...store.hostRegistry,
        register: () => Promise.resolve({ kind: 'registered' } as const),
      };
      return { ...store, hostRegistry };
    },
  }),
);
