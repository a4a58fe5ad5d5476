import { docker } from './run.ts';

/** A container of a compose service. */
export interface Part {
  readonly id: string;
  readonly service: string;
  readonly health: string;
  /** Files of the host that are mounted in it. */
  readonly binds: readonly string[];
  /** Addresses by network name in the compose file. */
  readonly addresses: Readonly<Record<string, string>>;
}

interface Inspected {
  Id: string;
  Config: { Labels: Record<string, string> };
  State: { Health?: { Status: string } };
  Mounts: { Type: string; Source: string }[];
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
}

/** The containers of a compose project, without instances. */
export async function partsOf(project: string): Promise<Part[]> {
  const names: Readonly<Record<string, string>> = {
    [project]: 'instances',
    [`${project}_control`]: 'control',
    [`Edge-${project}`]: 'edge',
  };
  const label = `label=com.docker.compose.project=${project}`;
  return (await inspect(await docker('ps', '-aq', '--no-trunc', '--filter', label))).map(
    (seen) => ({
      id: seen.Id,
      service: seen.Config.Labels['com.docker.compose.service'] ?? '',
      health: seen.State.Health?.Status ?? 'none',
      binds: bindsOf(seen),
      addresses: Object.fromEntries(
        Object.entries(seen.NetworkSettings.Networks).map(([network, { IPAddress }]) => [
          names[network] ?? network,
          IPAddress,
        ]),
      ),
    }),
  );
}

/** The container of an instance, with its address and its gateway. */
export async function containerOf(
  instance: string,
): Promise<{ container: string; address: string; gateway: string; binds: string[] }> {
  const found = await docker('ps', '-q', '--filter', `label=ephemera.instance=${instance}`);
  const [seen] = await inspect(found);
  const [network] = Object.values(seen?.NetworkSettings.Networks ?? {});
  if (!seen || !network) throw new Error(`${instance} has no running container`);
  const { IPAddress: address, Gateway: gateway } = network;
  return { container: seen.Id, address, gateway, binds: bindsOf(seen) };
}

function bindsOf({ Mounts }: Inspected): string[] {
  return Mounts.filter(({ Type }) => Type === 'bind')
    .map(({ Source }) => Source)
    .sort();
}

async function inspect(ids: readonly string[]): Promise<Inspected[]> {
  if (ids.length === 0) return [];
  return JSON.parse((await docker('inspect', ...ids)).join('\n')) as Inspected[];
}
