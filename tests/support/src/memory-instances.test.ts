import { instancesContract } from './instances-contract/index.ts';
import { memoryInstances } from './memory-instances.ts';

instancesContract((options) => {
  const instances = memoryInstances(options);
  return Promise.resolve({
    instances,
    second: instances,
    leases: instances,
    suspensions: instances,
    pools: instances,
    close: () => Promise.resolve(),
  });
});
