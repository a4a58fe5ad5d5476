import type { Instance } from '@ephemera/domain';
import { type Invariant, type Snapshot, differences, liveOf } from './snapshot.ts';

/** The live instances that a set of ids must contain, or undefined for a set with other rules. */
function ownersOf(name: string, live: readonly Instance[]): Instance[] | undefined {
  const [kind, which, what] = name.split(':');
  switch (kind) {
    case 'instances':
      return [...live];
    case 'pending':
      return live.filter(({ state }) => state === 'pending');
    case 'host':
      return live.filter(({ host }) => host === which);
    case 'template':
      return live.filter(
        ({ template, queued }) =>
          template.name === which && (what === 'queue') === (queued === true),
      );
    case 'pool':
      return live.filter(
        ({ pool, state }) => pool === which && (what !== 'warm' || state === 'warm'),
      );
    default:
      return undefined;
  }
}

export const setsOwned: Invariant = {
  name: 'no reservation without an owner',
  broken: (snapshot) => {
    const live = liveOf(snapshot);
    const found = [...snapshot.sets].flatMap(([name, ids]) => {
      const owners = ownersOf(name, live);
      if (owners) {
        return differences(
          { name: `member of ${name}`, ids },
          { name: `live instance that belongs to ${name}`, ids: owners.map(({ id }) => id) },
        );
      }
      // `expiring` and `owner:*` contain some of the live instances, and no other ids.
      const alive = new Set(live.map(({ id }) => id));
      return ids.filter((id) => !alive.has(id)).map((id) => `${id} is in ${name}, but is not live`);
    });
    return [...found, ...capacityReserved(snapshot, live)];
  },
};

function capacityReserved({ used }: Snapshot, live: readonly Instance[]): string[] {
  return [...used].flatMap(([host, held]) => {
    const here = live.filter((instance) => instance.host === host);
    const sum = (size: (instance: Instance) => number) =>
      here.reduce((total, instance) => total + size(instance), 0);
    const wanted = {
      instances: here.length,
      memory: sum(({ template }) => template.limits.memory),
      cpus: sum(({ template }) => Math.round(template.limits.cpus * 1000)),
    };
    return Object.entries(wanted)
      .filter(([axis, amount]) => Number(held[axis] ?? 0) !== amount)
      .map(
        ([axis, amount]) =>
          `${host} reserves ${held[axis] ?? 0} ${axis}, its instances need ${amount}`,
      );
  });
}

/** Keys that exist as long as the deployment, or whose size the live instances limit. */
const LASTING =
  /^(generation|dataset|reported|events|hosts|hosts-by-free:(memory|cpus)|cordons|confirmed|pools|names|pool-fingerprints|queues|instances|pending|expiring|host:[^:]+:(instances|addresses|capacity|used)|registration:[^:]+|template:[^:]+:(instances|queue)|pool:[0-9a-f]+(:warm)?|owner:.+)$/;
/** Keys of BullMQ, which removes them itself. The snapshot reads the jobs separately. */
const QUEUES = /^(instance-spawn|instance-kill-[^:]+|pool-refill|webhook):/;

export const keysOwned: Invariant = {
  name: 'no key without an owner',
  broken: (snapshot) => {
    const live = new Set(liveOf(snapshot).map(({ id }) => id));
    return [...snapshot.keys].flatMap(([name, life]) => {
      if (life !== -1 || LASTING.test(name) || QUEUES.test(name)) return [];
      const [kind, id = ''] = name.split(':');
      const owned = (kind === 'instance' || kind === 'route') && live.has(id);
      return owned ? [] : [`${name} has no expiry`];
    });
  },
};
