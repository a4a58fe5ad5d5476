import { allows, isOwner } from '@ephemera/domain';
import type { Instance, Principal } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import { renew, requestKill } from '@ephemera/lifecycle';
import type { RenewPorts, RequestKillPorts } from '@ephemera/lifecycle';

/** How many instances one form changes at most: those of a page. */
export const MAX_BULK = 50;

export const BULK_ACTIONS = ['end', 'extend'] as const;
export type BulkAction = (typeof BULK_ACTIONS)[number];

/** By how much _Extend_ moves a deadline, ms. */
const EXTENSION_MS = 3_600_000;

export interface BulkPorts {
  readonly kill: RequestKillPorts;
  readonly renew: RenewPorts;
  readonly instances: { get(id: string): Promise<Instance | undefined> };
}

/** The ids of the selected instances, by what happened to them. */
export interface BulkOutcome {
  readonly changed: readonly string[];
  /** Ended already, not extensible, or of another owner. */
  readonly unchanged: readonly string[];
  /** It is unknown whether they were changed. */
  readonly failed: readonly string[];
  /** Why they failed, in the order of `failed`. */
  readonly errors: readonly unknown[];
}

/** Ends or extends instances. A failure leaves the others unaffected. */
export async function changeAll(
  ports: BulkPorts,
  principal: Principal,
  ids: readonly string[],
  action: BulkAction,
): Promise<BulkOutcome> {
  const distinct = [...new Set(ids)];
  const outcomes = await Promise.allSettled(
    distinct.map(async (id) => {
      const instance = await ports.instances.get(id);
      if (!instance) return false;
      if (!allows(principal, 'admin') && !isOwner(principal, instance)) return false;
      if (action === 'end') return (await requestKill(ports.kill, id)).kind === 'draining';
      const { expiresAt, maxExpiresAt } = instance;
      const wanted = Math.min(expiresAt + EXTENSION_MS, maxExpiresAt);
      if (wanted <= expiresAt) return false;
      const renewed = await renew(ports.renew, id, { expiresAt: wanted, shorten: false });
      return renewed.kind === 'renewed';
    }),
  );
  const idsOf = (matches: (outcome: PromiseSettledResult<boolean> | undefined) => boolean) =>
    distinct.filter((_, i) => matches(outcomes[i]));
  return {
    changed: idsOf((outcome) => outcome?.status === 'fulfilled' && outcome.value),
    unchanged: idsOf((outcome) => outcome?.status === 'fulfilled' && !outcome.value),
    failed: idsOf((outcome) => outcome?.status === 'rejected'),
    errors: outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    ),
  };
}

/** The form of the checkboxes in the table, which name it by its id. */
export function bulkForm(): Html {
  return html`<form
    id="bulk"
    class="toolbar"
    method="post"
    action="/dashboard/instances"
    aria-label="Selected instances"
  >
    <span class="soft">Selected:</span>
    <button class="quiet" id="bulk-extend" name="action" value="extend">Extend by 1h</button>
    <button
      class="end"
      id="bulk-end"
      name="action"
      value="end"
      data-confirm="End the selected instances?"
    >
      End
    </button>
  </form>`;
}
