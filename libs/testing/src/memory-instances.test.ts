import { instancesContract } from './instances-contract/index.ts';
import { memoryInstances } from './memory-instances.ts';

instancesContract((options) => {
  const instances = memoryInstances(options);
  return Promise.resolve({
    instances,
    others: instances,
    leases: instances,
    close: () => Promise.resolve(),
  });
});
