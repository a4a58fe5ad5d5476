import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { firewallScript } from '../firewall-rules.ts';
import { CHOOSE_IPTABLES } from './choose-iptables.ts';

// A container with both kinds of iptables, on a machine whose daemon uses the one or the other:
// each a network namespace with the daemon's chain in it.

const run = promisify(execFile);
const script = firewallScript({
  name: 'ephemera',
  bridge: 'eph0',
  subnet: '10.231.0.0/16',
  infrastructure: '10.231.0.0/24',
  range: { first: 0, count: 1 },
});
let machine: string;
let scratch: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'ephemera-iptables-'));
  machine = `eph-${randomBytes(4).toString('hex')}`;
  await run('ip', ['netns', 'add', machine]);
});
afterEach(async () => {
  await run('ip', ['netns', 'del', machine]);
  await rm(scratch, { recursive: true });
});

async function there(...command: string[]): Promise<string> {
  const env = { PATH: process.env['PATH'], TMPDIR: scratch };
  return (await run('ip', ['netns', 'exec', machine, ...command], { env })).stdout;
}

test.each([
  ['iptables-nft', 'iptables-legacy'],
  ['iptables-legacy', 'iptables-nft'],
])('where the daemon uses %s, the rules go there and not to %s', async (used, other) => {
  await there(used, '-N', 'DOCKER-USER');
  await there(used, '-A', 'FORWARD', '-j', 'DOCKER-USER');
  for (const _ of ['set', 'set again']) await there('sh', '-c', CHOOSE_IPTABLES + script);
  expect((await there(used, '-S')).match(/-A DOCKER-USER -j EPHEMERA-EPH0-F/g)).toHaveLength(1);
  expect(await there(other, '-S')).not.toContain('EPHEMERA');
});
