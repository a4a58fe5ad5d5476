import { existsSync } from 'node:fs';
import { STRICT_POLICY } from '@ephemera/domain';
import type { Policy } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { watchTemplates } from './watch-templates.ts';

/** What templates may ask for, as the file says it now. */
export interface WatchedPolicy {
  readonly current: Policy;
  close(): void;
}

/**
 * Keeps up with the policy in the file of the templates. Where a worker has no such file, nothing
 * that weakens its host is allowed.
 *
 * @throws ConfigError where there is a file that cannot be used
 */
export function watchPolicy(path: string, logger: Logger): WatchedPolicy {
  if (!existsSync(path)) return { current: STRICT_POLICY, close: () => undefined };
  const templates = watchTemplates(path, logger);
  return {
    get current() {
      return templates.current.policy;
    },
    close: () => templates.close(),
  };
}
