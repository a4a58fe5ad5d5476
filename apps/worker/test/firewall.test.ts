import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Logger } from '@ephemera/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFirewall, runHere } from '../src/firewall.ts';
import type { Firewall } from '../src/firewall.ts';
import { begunInstance, openDocker } from './docker-scene.ts';
import type { DockerScene } from './docker-scene.ts';
import { execInside } from './exec-inside.ts';

let scene: DockerScene;
let stranger: DockerScene;
let firewall: Firewall;
let inside: { containerId: string; address: string };
const logger = { warn: () => undefined, info: () => undefined } as unknown as Logger;

/** Stands for whatever listens on every address of the host: Redis, the admin port, … */
const onTheHost = createServer((_, res) => res.end('reached'));
/** Who must not be reached: `address port`. */
const targets = new Map<string, string>();

beforeAll(async () => {
  [scene, stranger] = [await openDocker(), await openDocker()];
  const { network } = scene;
  firewall = await createFirewall({ network, mode: 'required', runOnHost: runHere, logger });
  inside = await scene.start(begunInstance());
  await new Promise<void>((resolve) => onTheHost.listen(0, '0.0.0.0', resolve));
  const { port } = onTheHost.address() as AddressInfo;
  const gateway = scene.network.subnet.replace('0.0/16', '0.1');
  targets.set('the host at the gateway', `${gateway} ${port}`);
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    const own = addresses.find(({ family, internal }) => family === 'IPv4' && !internal);
    if (own && own.address !== gateway) {
      targets.set(`the host at ${name}`, `${own.address} ${port}`);
    }
  }
  const peer = await scene.start(begunInstance());
  targets.set('a peer', `${peer.address} 8080`);
  const foreign = await stranger.start(begunInstance());
  targets.set('an instance of another deployment', `${foreign.address} 8080`);
});

afterAll(async () => {
  onTheHost.close();
  await scene.close();
  await stranger.close();
  expect(rulesFor(scene.network.bridge)).toEqual([]);
});

async function reaches(target: string): Promise<boolean> {
  const line = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${target} | grep -q HTTP`;
  return (await execInside(scene.docker, inside.containerId, line)).code === 0;
}

function rulesFor(bridge: string): string[] {
  const all = execFileSync('iptables', ['-w', '5', '-S'], { encoding: 'utf8' }).split('\n');
  return all.filter((rule) => rule.toLowerCase().includes(`ephemera-${bridge}`));
}

/** The names of those that are reached after all. */
async function reached(): Promise<string[]> {
  const all = [...targets];
  const answers = await Promise.all(all.map(([, target]) => reaches(target)));
  return all.flatMap(([name], i) => (answers[i] ? [name] : []));
}

test('from inside an instance nothing but itself is reached', async () => {
  expect(await reaches('127.0.0.1 8080')).toBe(true);
  expect(targets.size).toBeGreaterThanOrEqual(3);
  expect(await reached()).toEqual([]);
});

test('from the host, the instance is', async () => {
  const answer = await fetch(`http://${inside.address}:8080/id`);
  expect(answer.status).toBe(200);
});

test('an instance has no IPv6, by which it could go around the rules', async () => {
  const { text } = await execInside(scene.docker, inside.containerId, 'cat /proc/net/if_inet6');
  expect(text.split('\n').filter((line) => line !== '' && !line.trim().endsWith(' lo'))).toEqual(
    [],
  );
});

test('set again, twice at once too, they are the same rules', async () => {
  const before = rulesFor(scene.network.bridge);
  await firewall.assert();
  expect(rulesFor(scene.network.bridge)).toEqual(before);
  await Promise.all([firewall.assert(), firewall.assert()]);
  expect(await reached()).toEqual([]);
});

// A restart of the daemon builds its chains anew, without what others have hung into them.
test('where the way into them is gone, it is there again after the next assertion', async () => {
  const jump = rulesFor(scene.network.bridge).filter((rule) =>
    /^-A (DOCKER-USER|INPUT)/.test(rule),
  );
  for (const rule of jump) execFileSync('iptables', ['-w', '5', '-D', ...rule.split(' ').slice(1)]);
  await firewall.assert();
  expect(await reached()).toEqual([]);
});

describe('without the rules', () => {
  beforeAll(() => firewall.remove());

  // The control: what is not reached above is reached here, so it is the rules that keep it away.
  test('the host is reached, and a peer still not', async () => {
    expect(rulesFor(scene.network.bridge)).toEqual([]);
    const seen = await reached();
    expect(seen).toContain('the host at the gateway');
    expect(seen).not.toContain('a peer');
  });

  test('there is nothing left to remove', async () => {
    await firewall.remove();
    expect(rulesFor(scene.network.bridge)).toEqual([]);
  });
});
