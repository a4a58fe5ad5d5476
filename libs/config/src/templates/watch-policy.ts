import { existsSync } from 'node:fs';
import { STRICT_POLICY } from '@ephemera/domain';
import type { Policy } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { watchTemplates } from './watch-templates.ts';

/** The current policy of the file. */
export interface WatchedPolicy {
  readonly current: Policy;
  close(): void;
}

/**
 * Watches the policy in the template file. Without the file, nothing that weakens the host is
 * allowed.
 *
 * @throws ConfigError if the file exists and is invalid
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
