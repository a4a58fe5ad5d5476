import { isDead } from '@ephemera/domain';
import type { Invariant, Snapshot } from './snapshot.ts';

/** The latest deadline that the control API or an event reported for each instance. */
function latestDeadlines({ expectations, events }: Snapshot): Map<string, number> {
  const reported = new Map<string, number>();
  const note = (id: string, until: number) => {
    reported.set(id, Math.max(reported.get(id) ?? 0, until));
  };
  for (const { id, promisedUntil: until } of expectations.promised.values()) {
    if (until !== undefined) note(id, until);
  }
  for (const { type, id, expiresAt } of events) {
    if (type === 'ready' || type === 'renewed') note(id, expiresAt);
  }
  return reported;
}

/** Message of a warm instance that did not respond to the probe at its claim. */
const UNCLAIMED = 'It did not answer when it was claimed.';

export const noneEndedEarly: Invariant = {
  name: 'nothing killed before its deadline',
  broken: (snapshot) => {
    const reported = latestDeadlines(snapshot);
    return [...snapshot.ends].flatMap(([id, ends]) => {
      if (snapshot.expectations.damaged.has(id)) return [];
      // A warm instance that does not respond is not given to a client. The claim takes another
      // one.
      if (snapshot.instances.get(id)?.message === UNCLAIMED) return [];
      const { killAskedAt = Infinity } = snapshot.expectations.promised.get(id) ?? {};
      const until = reported.get(id);
      return ends
        .filter((end) => until !== undefined && end < until && end < killAskedAt)
        .map((end) => `${id} ended ${(until ?? 0) - end} ms before its deadline`);
    });
  },
};

export const noCreationLost: Invariant = {
  name: 'no acknowledged creation lost',
  broken: ({ expectations, instances }) =>
    [...expectations.promised.values()].flatMap(({ id, killAskedAt, template }) => {
      const instance = instances.get(id);
      if (!instance) return [`${id} (${template}) has no record`];
      const { state, reason, message = '', lastTransitionAt: at } = instance;
      if (!isDead(state) && state !== 'draining') return [];
      const endedBy =
        reason === 'start_failed'
          ? message.startsWith('The container exited')
          : reason === 'exited';
      const damaged = expectations.damaged.has(id) && (endedBy || reason === 'oom');
      const asked = reason === 'request' && killAskedAt !== undefined;
      const failureExpected =
        reason === 'start_failed' &&
        expectations.expectedFailures.some(({ words, from, until }) => {
          return from <= at && at <= until && words.test(message);
        });
      const expected = reason === 'ttl' || asked || damaged || failureExpected;
      return expected ? [] : [`${id} (${template}) ended as ${reason}: ${message}`];
    }),
};

export const noRenewalLost: Invariant = {
  name: 'no acknowledged renewal lost',
  broken: ({ expectations, instances }) =>
    [...expectations.promised.values()].flatMap(({ id, promisedUntil: until = 0 }) => {
      const instance = instances.get(id);
      if (!instance || instance.reason === 'request' || instance.expiresAt >= until) return [];
      return [`${id} has the deadline ${instance.expiresAt}, acknowledged was ${until}`];
    }),
};

export const onceCreated: Invariant = {
  name: 'one instance per creation key',
  broken: ({ events, instances }) => {
    const ids = new Map<string, Set<string>>();
    for (const { type, id, metadata } of events) {
      const { key } = metadata;
      if (instances.get(id)?.message === UNCLAIMED) continue;
      if (type === 'ready' && key !== undefined) ids.set(key, (ids.get(key) ?? new Set()).add(id));
    }
    return [...ids]
      .filter(([, made]) => made.size > 1)
      .map(([key, made]) => `${key} created ${[...made].join(' and ')}`);
  },
};

export const everyEventDelivered: Invariant = {
  name: 'every event has reached its webhook',
  // The events of a dead worker are claimed after 15 s, and a failed delivery is repeated after 5 s
  // or more.
  timeoutMs: 60_000,
  broken: ({ events, deliveries }) =>
    events
      .filter(({ type }) => type === 'ready' || type === 'gone')
      .filter(({ seq }) => !deliveries.has(seq))
      .map(({ seq, type, id }) => `${seq} (${type}, ${id}) was never delivered`),
};

export const noViolations: Invariant = {
  name: 'no violation in the responses',
  broken: ({ expectations }) =>
    expectations.violations.map(({ invariant, what }) => `${invariant}: ${what}`),
};
