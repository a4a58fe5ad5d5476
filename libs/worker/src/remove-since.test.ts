import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createLogger } from '@ephemera/process';
import { expect, test } from 'vitest';
import { openDocker, removeAll } from '../test/docker-fixture.ts';
import { answerNamesHere } from './docker/gateway-names.ts';
import { removeNetwork } from './docker/instances-network.ts';
import { createFirewall, runHere } from './firewall.ts';

const run = promisify(execFile);

/** All rules that name a bridge, of both protocols and all tables. */
async function rulesOf(bridge: string): Promise<string[]> {
  const saved = await Promise.all(['iptables-save', 'ip6tables-save'].map((name) => run(name)));
  return saved
    .flatMap(({ stdout }) => stdout.split('\n'))
    .filter((line) => line.toLowerCase().includes(bridge));
}

test('rules are removed although their network is gone', async () => {
  const first = await openDocker();
  const second = await openDocker();
  const names = answerNamesHere();
  const logger = createLogger('test', 'silent');
  const egress = { resolvers: [], blocked: [] };
  try {
    for (const { network } of [first, second]) {
      const options = { network, mode: 'required', egress, names, logger } as const;
      await createFirewall({ ...options, runOnHost: runHere });
    }
    const { namespace, network, docker } = first;
    const jump = `INPUT -j EPHEMERA-${network.bridge.toUpperCase()}-I`;
    await runHere(`ip6tables -w 5 -I ${jump}`);
    await removeNetwork(docker, network.name);
    const ofOther = await rulesOf(second.network.bridge);
    expect(ofOther.some((rule) => rule.includes('DNAT'))).toBe(true);

    await removeAll(namespace);
    expect(await rulesOf(network.bridge)).toEqual([]);
    expect(await rulesOf(second.network.bridge)).toEqual(ofOther);
  } finally {
    names.close();
    await first.close();
    await second.close();
  }
});
