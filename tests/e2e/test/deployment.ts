import { keysOf } from '@ephemera/store';
import {
  type Deployment,
  type DeploymentOptions,
  SETTLED_DATASET,
  deploy as deployOn,
} from '@ephemera/test-support';

export { TOKEN } from '@ephemera/test-support';
export type { Deployment } from '@ephemera/test-support';

/** Starts a deployment that answers 404 for an unknown id at once, without the time of a new Redis. */
export const deploy = (options: DeploymentOptions): Promise<Deployment> =>
  deployOn({
    ...options,
    seed: (redis, namespace) => redis.set(keysOf(namespace).dataset, SETTLED_DATASET),
  });
