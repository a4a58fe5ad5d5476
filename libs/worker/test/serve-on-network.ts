import { join } from 'node:path';
import { waitFor } from '@ephemera/test-support';
import type { OwnEngine } from './own-engine.ts';

/** A foreign container with a web server on port 8080. */
export async function serveOnNetwork(
  { docker }: OwnEngine,
  network: string,
  address?: string,
): Promise<{ containerId: string; address: string }> {
  const container = await docker.createContainer({
    Image: 'ephemera/demo',
    Cmd: ['httpd', '-f', '-p', '8080', '-h', '/'],
    HostConfig: { NetworkMode: network },
    ...(address !== undefined && {
      NetworkingConfig: {
        EndpointsConfig: { [network]: { IPAMConfig: { IPv4Address: address } } },
      },
    }),
  });
  await container.start();
  const { NetworkSettings } = await container.inspect();
  return {
    containerId: container.id,
    address: NetworkSettings.Networks[network]?.IPAddress ?? '',
  };
}

/**
 * Answers by TCP and UDP on every address of the network `host`, `world`, or of the container with
 * this id.
 * @param heard called with each name that is looked up there
 */
export async function answerIn(
  engine: OwnEngine,
  place: string,
  port: number,
  heard?: (name: string) => void,
): Promise<void> {
  const network =
    place === 'host' || place === 'world'
      ? place
      : (await engine.docker.getContainer(place).inspect()).State.Pid;
  const answerer = join(import.meta.dirname, 'responder.ts');
  const dns = heard ? ['dns'] : [];
  const child = engine.spawnIn(network, process.execPath, answerer, String(port), ...dns);
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
    for (const line of chunk.split('\n').filter(Boolean)) heard?.(line);
  });
  await waitFor(`an answerer in ${place}`, () => said.includes('listening'));
}
