import { waitFor } from '@ephemera/test-support';

/** Metrics of the balancer. */
export interface Balancer {
  /** Number of successful responses from each proxy to visitors. */
  answers(): Promise<ReadonlyMap<string, number>>;
  /** Waits until this many proxies receive traffic, both for visitors and for the control API. */
  has(replicas: number): Promise<void>;
  /** Waits until the balancer sees this many running proxies, ready or not. */
  knows(replicas: number): Promise<void>;
}

export function askBalancer(address: string): Balancer {
  const read = async (metric: string): Promise<Map<string, number>> => {
    const text = await (await fetch(`http://${address}:8404/metrics`)).text();
    const found = new Map<string, number>();
    for (const [, name = '', value] of text.matchAll(new RegExp(`^${metric} (\\d+)$`, 'gm'))) {
      found.set(name, Number(value));
    }
    return found;
  };
  const up = async (backend: string): Promise<number> => {
    const states = await read(
      `haproxy_server_status\\{proxy="${backend}",server="([^"]+)",state="UP"\\}`,
    );
    return [...states.values()].filter((state) => state === 1).length;
  };
  return {
    async answers() {
      const all = await read(
        'haproxy_server_http_responses_total\\{proxy="replicas",server="([^"]+)",code="2xx"\\}',
      );
      return new Map([...all].filter(([, count]) => count > 0));
    },
    async has(replicas) {
      const same = async () =>
        (await up('replicas')) === replicas && (await up('control')) === replicas;
      await waitFor(`${replicas} proxies behind the balancer`, same, 120_000);
    },
    async knows(replicas) {
      const same = async () => (await up('running')) === replicas;
      await waitFor(`${replicas} running proxies`, same, 120_000);
    },
  };
}
