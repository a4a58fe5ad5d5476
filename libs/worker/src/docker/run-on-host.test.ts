import { randomBytes } from 'node:crypto';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { DOCKER_HOST, removeAll, requireImage } from '../../test/docker-fixture.ts';
import { connectDocker } from './docker-client.ts';
import { ensureNetwork, findNetworks, removeNetwork } from './instances-network.ts';
import { LABEL } from './labels.ts';
import { removeContainers } from './namespace-containers.ts';
import { runInHostNetwork } from './run-on-host.ts';

const IMAGE = 'ephemera/demo';

/** Containers of the test's own namespace. A dead worker has left one of them. */
async function open() {
  const docker = connectDocker(DOCKER_HOST);
  await requireImage(docker);
  const namespace = `test-${randomBytes(4).toString('hex')}`;
  onTestFinished(async () => {
    await removeContainers(docker, namespace, new Set());
  });
  const left = await docker.createContainer({
    Image: IMAGE,
    Labels: { [LABEL.namespace]: namespace, [LABEL.role]: 'firewall' },
  });
  const filters = { label: [`${LABEL.namespace}=${namespace}`] };
  const there = async () =>
    (await docker.listContainers({ all: true, filters })).map((it) => it.Id);
  return { docker, namespace, left: left.id, there };
}

test('an abandoned helper is removed by the next run', async () => {
  const { docker, namespace, there } = await open();
  await runInHostNetwork(docker, namespace, IMAGE, 0)('true');
  expect(await there()).toEqual([]);
});

test('a helper of another running call is kept', async () => {
  const { docker, namespace, left, there } = await open();
  await runInHostNetwork(docker, namespace, IMAGE)('true');
  expect(await there()).toEqual([left]);
});

test('the output of the script is returned', async () => {
  const { docker, namespace } = await open();
  const run = runInHostNetwork(docker, namespace, IMAGE, 0);
  const said = await run('echo put first: iptables INPUT');
  expect(said).toContain('put first: iptables INPUT\n');
});

test('a helper has only the rights and resources that it needs', async () => {
  const { docker, namespace, left, there } = await open();
  const run = runInHostNetwork(docker, namespace, IMAGE)('echo on > /run/lock; exec sleep 600');
  const ended = expect(run).rejects.toThrow('the firewall script failed');
  const id = await waitFor('it', async () => (await there()).find((text) => text !== left));
  const helper = docker.getContainer(id);
  await waitFor('its start', async () => (await helper.inspect()).State.Running);
  const { Config, HostConfig } = await helper.inspect();
  // It would be listed as a replica of the service that its image was built for.
  expect(Config.Labels).toMatchObject({ 'com.docker.compose.service': '' });
  expect(HostConfig).toMatchObject({
    ReadonlyRootfs: true,
    Memory: 64 * 1024 ** 2,
    PidsLimit: 64,
    CapAdd: ['NET_ADMIN', 'NET_RAW'],
  });
  await helper.kill();
  await ended;
});

test('a failed script is reported with its output', async () => {
  const { docker, namespace, there } = await open();
  const run = runInHostNetwork(docker, namespace, IMAGE, 0);
  await expect(run('echo no chain >&2; exit 1')).rejects.toThrow(/script failed: .*no chain/);
  expect(await there()).toEqual([]);
});

test('an abandoned helper does not prevent the removal of everything else', async () => {
  const { docker, namespace, there } = await open();
  await ensureNetwork(docker, namespace);
  onTestFinished(() => removeNetwork(docker, namespace).then(() => undefined));
  await removeAll(namespace);
  expect(await there()).toEqual([]);
  expect(await findNetworks(docker, namespace)).toEqual([]);
});
