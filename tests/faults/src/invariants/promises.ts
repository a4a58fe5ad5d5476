import { isDead } from '@ephemera/domain';
import type { Invariant, Snapshot } from './snapshot.ts';

/** The latest deadline that anybody was told of an instance: by an answer, or by an event. */
function toldUntil({ expectations, events }: Snapshot): Map<string, number> {
  const told = new Map<string, number>();
  const tell = (id: string, until: number) => {
    told.set(id, Math.max(told.get(id) ?? 0, until));
  };
  for (const { id, toldUntil: until } of expectations.promised.values()) {
    if (until !== undefined) tell(id, until);
  }
  for (const { type, id, expiresAt } of events) {
    if (type === 'ready' || type === 'renewed') tell(id, expiresAt);
  }
  return told;
}

/** What is told of a warm instance that was to be handed out, and is dead. */
const UNCLAIMED = 'It did not answer when it was claimed.';

export const noneEarly: Invariant = {
  name: 'nothing killed before its deadline',
  broken: (snapshot) => {
    const told = toldUntil(snapshot);
    return [...snapshot.ends].flatMap(([id, ends]) => {
      if (snapshot.expectations.hurt.has(id)) return [];
      // A warm one that does not answer is handed to nobody, and another is taken.
      if (snapshot.instances.get(id)?.message === UNCLAIMED) return [];
      const { killAskedAt = Infinity } = snapshot.expectations.promised.get(id) ?? {};
      const until = told.get(id);
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
      if (!instance) return [`${id} (${template}) is forgotten`];
      const { state, reason, message = '', lastTransitionAt: at } = instance;
      if (!isDead(state) && state !== 'draining') return [];
      const endedBy =
        reason === 'start_failed'
          ? message.startsWith('The container exited')
          : reason === 'exited';
      const hurt = expectations.hurt.has(id) && (endedBy || reason === 'oom');
      const asked = reason === 'request' && killAskedAt !== undefined;
      const spoilt =
        reason === 'start_failed' &&
        expectations.spoilt.some(({ words, from, until }) => {
          return from <= at && at <= until && words.test(message);
        });
      const fair = reason === 'ttl' || asked || hurt || spoilt;
      return fair ? [] : [`${id} (${template}) ended as ${reason}: ${message}`];
    }),
};

export const noRenewalLost: Invariant = {
  name: 'no acknowledged renewal lost',
  broken: ({ expectations, instances }) =>
    [...expectations.promised.values()].flatMap(({ id, toldUntil: until = 0 }) => {
      const instance = instances.get(id);
      if (!instance || instance.reason === 'request' || instance.expiresAt >= until) return [];
      return [`${id} was told ${until}, and has ${instance.expiresAt}`];
    }),
};

export const onceCreated: Invariant = {
  name: 'one instance a creation, however often it is sent',
  broken: ({ events, instances }) => {
    const ids = new Map<string, Set<string>>();
    for (const { type, id, metadata } of events) {
      const { key } = metadata;
      if (instances.get(id)?.message === UNCLAIMED) continue;
      if (type === 'ready' && key !== undefined) ids.set(key, (ids.get(key) ?? new Set()).add(id));
    }
    return [...ids]
      .filter(([, made]) => made.size > 1)
      .map(([key, made]) => `${key} made ${[...made].join(' and ')}`);
  },
};

export const everybodyTold: Invariant = {
  name: 'every event has reached its webhook',
  // What a dead worker had taken is taken over after 15 s, and a failed delivery waits 5 s and more.
  within: 60_000,
  broken: ({ events, deliveries }) =>
    events
      .filter(({ type }) => type === 'ready' || type === 'gone')
      .filter(({ seq }) => !deliveries.has(seq))
      .map(({ seq, type, id }) => `${seq} (${type}, ${id}) was never delivered`),
};

export const nothingWrong: Invariant = {
  name: 'nothing wrong in the answers',
  broken: ({ expectations }) =>
    expectations.wrong.map(({ invariant, what }) => `${invariant}: ${what}`),
};
