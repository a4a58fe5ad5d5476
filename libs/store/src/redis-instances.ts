import { ApiError, EVENT_TYPES, isGuarded } from '@ephemera/domain';
import type { EventType, Instance, InstanceDraft, InstanceEvent, Route } from '@ephemera/domain';
import { AssignedToOtherHostError, HostCapacityError } from '@ephemera/lifecycle';
import type { Instances, Progress, StartSigner } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { findInstances } from './find-instances.ts';
import type { InstanceSearch, SearchResult } from './find-instances.ts';
import { latestEvents, listEnded } from './latest-events.ts';
import type { LatestPage, LatestQuery } from './latest-events.ts';
import { readFields, readInstance, writeFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { TOMBSTONE } from './limits.ts';
import { listInstances, recentFailures, withQueuePositions } from './list-instances.ts';
import type { ListQuery, Page } from './list-instances.ts';
import { loadScript, runScript } from './run-script.ts';
import { startDraining } from './start-draining.ts';
import { writeIntent } from './write-intent.ts';

const scripts = {
  assign: loadScript('assign'),
  ready: loadScript('ready'),
  finalize: loadScript('finalize', 'frees'),
  restore: loadScript('restore'),
};

/** How many instances one round trip reads. */
const BATCH = 500;

export interface InstanceStore extends Instances {
  /**
   * Returns a page of live instances in the order of their creation. A filtered page may be short.
   */
  list(query: ListQuery): Promise<Page>;
  /** Searches live instances by what the lists of the hosts have. */
  find(search: InstanceSearch): Promise<SearchResult>;
  /** Returns a page of the instances that have ended, the latest end first. */
  listEnded(query: Omit<LatestQuery, 'types'>): Promise<LatestPage<Instance>>;
  /** Returns a page of the events of all instances, the latest first. */
  latestEvents(query: LatestQuery): Promise<LatestPage<InstanceEvent>>;
  /** Returns the instances that failed to start or exited last, the latest first, with a tombstone. */
  recentFailures(): Promise<Instance[]>;
  /** How many instances are alive. */
  count(): Promise<number>;
  /** When each kind of change of an instance happened last, the earliest first. Empty where it is unknown. */
  timeline(id: string): Promise<TimelineEntry[]>;
  /** The route of an instance as the proxies read it. Undefined: it has none. */
  routeOf(id: string): Promise<Route | undefined>;
}

/** The last change of a type of one instance. An `expiring` notice is none. */
export interface TimelineEntry {
  readonly type: EventType;
  /** Epoch milliseconds of the store's clock. */
  readonly at: number;
}

/**
 * If the store lost the hash of an access token that was set after the container was created,
 * nobody knows the hash any more. An empty hash then denies all access, instead of granting it to
 * everybody.
 */
function withAccessRule(instance: Instance): Instance {
  const { accessHash = '', template } = instance;
  return isGuarded(template) ? { ...instance, accessHash } : instance;
}

/** The version of an instance in the list of its host, as `listOnHost` of the scripts writes it. */
function versionOf({ generation, state, expiresAt, lastTransitionAt }: Instance): string {
  return [generation, state, expiresAt, lastTransitionAt].join(':');
}

/**
 * The instance store in Redis: one hash per instance, one string per route. Lua scripts change
 * them.
 */
export function redisInstances(
  redis: Redis,
  keys: Keys,
  tombstone = TOMBSTONE,
  signer?: StartSigner,
): InstanceStore {
  const readAll = async (ids: readonly string[]): Promise<Instance[]> => {
    const found: Instance[] = [];
    for (let i = 0; i < ids.length; i += BATCH) {
      const pipeline = redis.pipeline();
      for (const id of ids.slice(i, i + BATCH)) pipeline.hgetall(keys.instance(id));
      for (const [error, fields] of (await pipeline.exec()) ?? []) {
        if (error) throw error;
        const instance = readInstance(fields as Record<string, string>);
        if (instance) found.push(instance);
      }
    }
    return withQueuePositions(redis, keys, found);
  };

  return {
    async create(draft: InstanceDraft): Promise<Instance> {
      const { reply, instance } = await writeIntent(redis, keys, draft, {}, signer);
      if (instance) return instance;
      if (reply[0] === 'full') throw new ApiError({ kind: 'full', limit: reply[1] });
      throw new Error(`the id ${draft.id} is taken`);
    },

    async get(id) {
      const instance = readInstance(await redis.hgetall(keys.instance(id)));
      return instance && (await withQueuePositions(redis, keys, [instance]))[0];
    },

    async assignToHost(id, generation, host) {
      const reply = await runScript(
        redis,
        scripts.assign,
        [keys.instance(id), keys.route(id), keys.pending, keys.events],
        [id, generation, host],
      );
      if (reply === 'full')
        throw new HostCapacityError(`the host ${host} has no capacity for ${id}`);
      if (reply === 'other_host')
        throw new AssignedToOtherHostError(`another host has started ${id}`);
      return reply === null ? undefined : readFields(reply as string[]);
    },

    async markReady(id, generation, address, host = '', published) {
      const reply = (await runScript(
        redis,
        scripts.ready,
        [keys.instance(id), keys.route(id), keys.events, keys.expiring],
        [generation, address, id, host, published ? JSON.stringify(published) : ''],
      )) as [number, number, number, [string, number, string, number]?] | null;
      if (!reply) return undefined;
      const [expiresAt, maxExpiresAt, startedAt, moved] = reply;
      const lease = { expiresAt, maxExpiresAt, startedAt };
      if (!moved) return lease;
      const [replacedId, replacedGeneration, replacedHost, remaining] = moved;
      const replaced = { id: replacedId, generation: replacedGeneration, host: replacedHost };
      return { ...lease, replaced: { ...replaced, remaining } };
    },

    startDraining: (id, reason, message, hint) =>
      startDraining(redis, keys, { id, reason, message, hint }),

    async finalize(id, generation, left) {
      const reply = await runScript(
        redis,
        scripts.finalize,
        [keys.instance(id), keys.route(id), keys.instances, keys.events],
        [id, generation, tombstone, left ?? ''],
      );
      return reply === 1;
    },

    async ofHost(host, known = new Map()) {
      const versions = Object.entries(await redis.hgetall(keys.hostInstances(host)));
      const isUnchanged = ([id, version]: [string, string]) => {
        const instance = known.get(id);
        return instance !== undefined && versionOf(instance) === version;
      };
      const { unchanged = [], changed = [] } = Object.groupBy(versions, (entry) =>
        isUnchanged(entry) ? 'unchanged' : 'changed',
      );
      const found = [
        ...unchanged.flatMap(([id]) => known.get(id) ?? []),
        ...(await readAll(changed.map(([id]) => id))),
      ];
      if (!found.some(({ state }) => state === 'warm')) return found;
      const [, run = ''] = /^run_id:(\w+)/m.exec(await redis.info('server')) ?? [];
      const isUnverified = ({ state, verifiedRunId }: Instance) =>
        state === 'warm' && verifiedRunId !== run;
      return found.map((instance) =>
        isUnverified(instance) ? { ...instance, unverified: true } : instance,
      );
    },

    async unassignedOverdue(time) {
      return readAll(await redis.zrange(keys.pending, '-inf', String(time), 'BYSCORE'));
    },

    async pendingWithoutHost(time) {
      const ids = await redis.zrange(keys.pending, '-inf', '+inf', 'BYSCORE');
      const pipeline = redis.pipeline();
      const fields = ['generation', 'lastTransitionAt', 'queued', 'state'] as const;
      for (const id of ids) pipeline.hmget(keys.instance(id), ...fields);
      const found = (await pipeline.exec()) ?? [];
      return found.flatMap(([error, values], i) => {
        if (error) throw error;
        const [generation, since, queued, state] = values as (string | null)[];
        // A queued instance gets no spawn job until it leaves the queue.
        const needsJob =
          generation && queued === null && state === 'pending' && Number(since) <= time;
        return needsJob ? [{ id: ids[i] ?? '', generation: Number(generation) }] : [];
      });
    },

    async restore(known) {
      const instance = withAccessRule(known);
      const { id, generation, template } = instance;
      // `create.lua` stores it outside the template, where `drain.lua` reads it.
      const idleTimeout =
        template.idleTimeout === undefined ? [] : ['idleTimeout', template.idleTimeout];
      const reply = await runScript(
        redis,
        scripts.restore,
        [
          keys.instance(id),
          keys.route(id),
          keys.instances,
          keys.generation,
          keys.events,
          keys.expiring,
        ],
        [id, generation, ...writeFields(instance), ...idleTimeout],
      );
      return reply === 1;
    },

    async now() {
      const [seconds, micros] = await redis.time();
      return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    },

    list: (query) => listInstances(redis, keys, readAll, query),
    find: (search) => findInstances(redis, keys, readAll, search),
    listEnded: (query) => listEnded(redis, keys, readAll, query),
    latestEvents: (query) => latestEvents(redis, keys, query),

    async recentFailures() {
      return readAll(await recentFailures(redis, keys));
    },

    async count() {
      return redis.zcard(keys.instances);
    },

    async timeline(id) {
      const fields = EVENT_TYPES.map((type) => `at:${type}`);
      const times = await redis.hmget(keys.instance(id), ...fields);
      const entries = EVENT_TYPES.flatMap((type, i) => {
        const at = times[i] ?? null;
        return at === null ? [] : [{ type, at: Number(at) }];
      });
      // Events of the same millisecond stay in the order of EVENT_TYPES, which is that of a life.
      return entries.sort((a, b) => a.at - b.at);
    },

    async routeOf(id) {
      const text = await redis.get(keys.route(id));
      return text === null ? undefined : (JSON.parse(text) as Route);
    },
  };
}

const script = loadScript('step');

/**
 * Stores the progress of starts: in the instance for the API, and in its route for waiting
 * requests.
 */
export function redisProgress(redis: Redis, keys: Keys): Progress {
  return {
    async report({ id, generation }, { step, done, message }, timeoutMs = 0) {
      const reply = await runScript(
        redis,
        script,
        [keys.instance(id), keys.route(id)],
        [generation, step, done ?? '', message, timeoutMs],
      );
      return reply === null ? undefined : (reply as number);
    },
  };
}
