import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { deploy, print, table } from '@ephemera/test-support';
import type { Deployment } from '@ephemera/test-support';
import { templatesOf } from '../load/templates.ts';

const run = promisify(execFile);

/** Maximum number of ports of a Linux bridge. */
const PORTS = 1_023;

/**
 * Unused interfaces take every port of the bridge of the instances. The next instance must start on
 * a further network and be reachable there. If no further network is allowed, the start must fail
 * with that message.
 */
export async function bridgeFull(): Promise<boolean> {
  const further = await onFullBridge({});
  // A subnet that no other deployment uses.
  const refused = await onFullBridge({ EPHEMERA_SUBNET: '10.255.0.0/16' });
  const rows = [
    ['further networks allowed', ...rowOf(further)],
    ['no further network allowed', ...rowOf(refused)],
  ];
  print(table(['', 'ports', 'before', 'after', 'message'], rows));
  return (
    further.before === 'ready' &&
    further.after === 'ready' &&
    further.networks === 2 &&
    refused.after === 'failed' &&
    refused.message.includes('networks of this host are full')
  );
}

interface Outcome {
  readonly ports: number;
  readonly before: string;
  readonly after: string;
  readonly message: string;
  readonly networks: number;
  readonly subnet: string | undefined;
}

function rowOf({ ports, before, after, message }: Outcome): string[] {
  return [String(ports), before, after, message.slice(0, 90).replace(/\s+/g, ' ')];
}

async function onFullBridge(env: Record<string, string>): Promise<Outcome> {
  const site = await deploy({ templates: templatesOf(1), env });
  const prefix = `ef${randomBytes(2).toString('hex')}`;
  try {
    const before = await createOne(site);
    const [network] = await networksOf(site);
    const ports = await fill(network?.bridge ?? '', prefix);
    const after = await createOne(site);
    const networks = (await networksOf(site)).length;
    return {
      ...{ ports, networks, subnet: network?.subnet },
      ...{ before: before.state, after: after.state, message: after.message },
    };
  } finally {
    await ip(Array.from({ length: PORTS }, (_, i) => `link del ${prefix}-${i}a`));
    await site.stop();
  }
}

/** Adds interface pairs until the bridge is full, and returns its number of ports. */
async function fill(bridge: string, prefix: string): Promise<number> {
  const pairs = Array.from({ length: Math.ceil(PORTS / 2) }, (_, i) => `${prefix}-${i}`);
  // The interfaces stay down, so that no pair forms a loop. The kernel refuses the last ones once
  // the bridge is full.
  await ip(pairs.map((name) => `link add ${name}a type veth peer name ${name}b`));
  await ip(
    pairs.flatMap((name) => ['a', 'b'].map((end) => `link set ${name}${end} master ${bridge}`)),
  );
  const { stdout } = await run('ip', ['-o', 'link', 'show', 'master', bridge]);
  return stdout.split('\n').filter(Boolean).length;
}

/** Runs commands of `ip`, and continues after a failed command. */
async function ip(lines: readonly string[]): Promise<void> {
  const child = run('ip', ['-force', '-batch', '-']);
  child.child.stdin?.end(`${lines.join('\n')}\n`);
  await child.catch(() => undefined);
}

async function createOne(site: Deployment): Promise<{ state: string; message: string }> {
  const headers = { prefer: 'wait=120' };
  const body = { template: 'plain', timeout: 300 };
  const answer = await site.api('POST', '/v1/instances', body, headers);
  const made = (await answer.json()) as {
    id?: string;
    detail?: string;
    status?: { state: string };
  };
  const text = made.detail ?? '';
  if (made.id === undefined || made.status?.state !== 'ready') {
    return { state: made.status?.state ?? 'failed', message: text };
  }
  const reached = await fetch(`${site.publicUrls[0]}/demo/${made.id}/id`);
  const isOwn = (await reached.text()) === made.id;
  return { state: isOwn ? 'ready' : 'not reachable', message: text };
}

async function networksOf({ namespace }: Deployment) {
  const filter = `label=ephemera.namespace=${namespace}`;
  const { stdout } = await run('docker', ['network', 'ls', '-q', '--filter', filter]);
  const ids = stdout.split('\n').filter(Boolean);
  const format =
    '{{index .Options "com.docker.network.bridge.name"}} {{(index .IPAM.Config 0).Subnet}}';
  const reported = await run('docker', ['network', 'inspect', '--format', format, ...ids]);
  return reported.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [bridge, subnet] = line.split(' ');
      return { bridge, subnet };
    });
}
