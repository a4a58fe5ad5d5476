import { onTestFinished, expect, test } from 'vitest';
import { DOCKER_HOST } from '../../test/docker-fixture.ts';
import { connectDocker } from './docker-client.ts';
import { DIRECT_ROUTING, directRoutingIssue, requireDirectRouting } from './direct-routing.ts';
import { ensureNetwork, inspectNetwork, removeNetwork } from './instances-network.ts';

test('Docker 28 and later needs the option, earlier versions do not', () => {
  const bare = { name: 'ephemera', options: {} };
  for (const version of ['20.10.24+dfsg1', '27.5.1']) {
    expect(directRoutingIssue(version, bare)).toBeUndefined();
  }
  for (const version of ['28.0.0', '28.5.2+dfsg4', '29.1']) {
    expect(directRoutingIssue(version, bare)).toContain('Remove the network');
    expect(directRoutingIssue(version, { ...bare, options: DIRECT_ROUTING })).toBeUndefined();
  }
});

test('a created network has the option, and is accepted by this daemon', async () => {
  const docker = connectDocker(DOCKER_HOST);
  const namespace = `test-direct-${process.pid}`;
  onTestFinished(() => removeNetwork(docker, namespace).then(() => undefined));
  const network = await ensureNetwork(docker, namespace, undefined, 0, { options: DIRECT_ROUTING });
  const found = await inspectNetwork(docker, network.name);
  expect(found?.Options).toMatchObject(DIRECT_ROUTING);
  await requireDirectRouting(docker, [network]);
});
