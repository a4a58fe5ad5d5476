import { ApiError } from '@ephemera/domain';
import type { Endpoint } from '@ephemera/domain';
import { type RegisteredEndpoints, registeredEndpoints } from './host-registry.ts';
import type { RouteReader } from './route-reader.ts';

/** The known networks of one host; times are monotonic milliseconds. */
interface KnownNetworks {
  readonly endpoints: RegisteredEndpoints;
  /**
   * When the networks were last known to be correct, without counting the proof by the tracking.
   */
  readonly rightAt: number;
  /** Whether Redis would have pushed every change since. */
  readonly isTracked: boolean;
}

/** The state of the tracking when a read was sent. */
export interface NetworksRead {
  readonly changes: number;
  readonly isTracked: boolean;
}

/** How often a read is repeated because a change invalidated it. The last answer is used anyway. */
const MAX_READS = 3;

/**
 * The networks that hosts have registered, in memory. `register.lua` decides which networks a host
 * gets; this cache only lets a proxy check the address of a route. The same rules hold as for
 * routes. Redis pushes each change, and an entry is leased. While Redis is unavailable, the last
 * known networks serve for the grace period.
 */
export class HostNetworks {
  readonly #reader: Pick<RouteReader, 'read'>;
  readonly #lease: number;
  readonly #grace: number;
  readonly #clock: () => number;
  readonly #known = new Map<string, KnownNetworks>();
  #isTracked = false;
  #provenAt = Number.NEGATIVE_INFINITY;
  #changes = 0;

  constructor(
    reader: Pick<RouteReader, 'read'>,
    { lease, grace, clock }: { lease: number; grace: number; clock: () => number },
  ) {
    this.#reader = reader;
    this.#lease = lease;
    this.#grace = grace;
    this.#clock = clock;
  }

  /**
   * Returns whether an address lies in a network that its host has registered, and the port in its
   * port range. If memory does not confirm it, the registration is read once more.
   * @throws ApiError `store_unavailable` where Redis is unavailable and nothing usable is known
   */
  async admits(host: string | undefined, endpoint: Endpoint): Promise<boolean> {
    if (host === undefined) return false;
    const known = this.#known.get(host);
    if (known && this.#isFresh(known) && known.endpoints.admits(endpoint)) return true;
    const endpoints = await this.#read(host);
    return endpoints?.admits(endpoint) === true;
  }

  /** Must be called before sending a read whose answer goes to `keep`. */
  beginRead(): NetworksRead {
    return { changes: this.#changes, isTracked: this.#isTracked };
  }

  /**
   * Stores what Redis returned for a host.
   * @param sentAt when the read was sent
   */
  keep(host: string, text: string | null, sentAt: number, read: NetworksRead): void {
    // A host without a registration is not cached: it is read again each time.
    if (text === null) {
      this.#known.delete(host);
      return;
    }
    const isTracked = read.isTracked && read.changes === this.#changes;
    const endpoints = registeredEndpoints(text);
    this.#known.set(host, { endpoints, rightAt: sentAt, isTracked });
  }

  /** Called when the registration of a host has changed; null: of any host. */
  invalidate(host: string | null): void {
    this.#changes++;
    if (host === null) this.#known.clear();
    else this.#known.delete(host);
  }

  trackingUp(since: number): void {
    this.#isTracked = true;
    this.#provenAt = since;
  }

  proven(since: number): void {
    this.#provenAt = since;
  }

  trackingDown(): void {
    this.#changes++;
    this.#isTracked = false;
    for (const [host, known] of this.#known) {
      this.#known.set(host, { ...known, rightAt: this.#rightAt(known), isTracked: false });
    }
  }

  #rightAt({ rightAt, isTracked }: KnownNetworks): number {
    return isTracked ? Math.max(rightAt, this.#provenAt) : rightAt;
  }

  #isFresh(known: KnownNetworks): boolean {
    return known.isTracked && this.#clock() < this.#rightAt(known) + this.#lease;
  }

  async #read(host: string): Promise<RegisteredEndpoints | undefined> {
    for (let i = 0; i < MAX_READS; i++) {
      const read = this.beginRead();
      const answer = await this.#reader.read([], [host]);
      if (answer === undefined) return this.#whileUnavailable(host);
      this.keep(host, answer.registrations[0] ?? null, answer.sentAt, read);
      if (read.changes === this.#changes) break;
    }
    return this.#known.get(host)?.endpoints;
  }

  #whileUnavailable(host: string): RegisteredEndpoints {
    const known = this.#known.get(host);
    if (known && this.#clock() < this.#rightAt(known) + this.#grace) return known.endpoints;
    throw new ApiError({ kind: 'store_unavailable' });
  }
}
