import { BootError } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { describe, expect, test } from 'vitest';
import { assignedInstance } from '../test/docker-fixture.ts';
import { describeNetwork } from './docker/instances-network.ts';
import { createFirewall } from './firewall.ts';

const network = describeNetwork('test', 'eph-00000000', '10.250.0.0/16');
const egress = { resolvers: [], blocked: [] };

function recording() {
  const lines: string[] = [];
  const write =
    (level: string) =>
    (fields: unknown, text = fields) =>
      lines.push(`${level}: ${String(text)}`);
  return { lines, logger: { warn: write('warn'), info: write('info') } as unknown as Logger };
}

const refused = () => Promise.reject(new Error('iptables: Permission denied'));

test('with `required`, the worker does not start if the rules cannot be set', async () => {
  const { logger } = recording();
  const made = createFirewall({ network, mode: 'required', runOnHost: refused, egress, logger });
  await expect(made).rejects.toThrow(BootError);
  await expect(made).rejects.toThrow(/eph-00000000.*Permission denied/);
});

test('with `auto`, a failure is logged once, with its consequence', async () => {
  const { logger, lines } = recording();
  const firewall = await createFirewall({
    network,
    mode: 'auto',
    runOnHost: refused,
    egress,
    logger,
  });
  await firewall.assert();
  await firewall.assert();
  expect(lines).toEqual([
    'warn: firewall rules could not be set: only trusted templates can start on this host',
  ]);
});

const untrusted = assignedInstance().template;

test('without rules, only trusted templates may start', async () => {
  const { logger } = recording();
  let works = false;
  const runOnHost = () => (works ? Promise.resolve('') : refused());
  const firewall = await createFirewall({ network, mode: 'auto', runOnHost, egress, logger });
  expect(await firewall.startCheck({ ...untrusted, trusted: true })).toEqual([]);
  expect(await firewall.startCheck(untrusted)).toEqual([
    'firewall rules cannot be set on this host, and the template "demo" is not trusted',
  ]);
  works = true;
  expect(await firewall.startCheck(untrusted)).toEqual([]);
});

describe('where other machines reach the instances, the rules are their source filter', () => {
  const reach = { kind: 'routed', proxies: ['10.0.0.11/32'] } as const;

  test('so the worker does not start without them, whatever the mode', async () => {
    const { logger } = recording();
    const options = { network, runOnHost: refused, egress, logger, reach };
    await expect(createFirewall({ ...options, mode: 'auto' })).rejects.toThrow(BootError);
  });

  test('so no template starts once they cannot be set any more, not even a trusted one', async () => {
    const { logger, lines } = recording();
    let works = true;
    const runOnHost = () => (works ? Promise.resolve('') : refused());
    const options = { network, runOnHost, egress, logger, reach };
    const firewall = await createFirewall({ ...options, mode: 'auto' });
    const trusted = { ...untrusted, trusted: true };
    expect(await firewall.startCheck(trusted)).toEqual([]);
    works = false;
    await firewall.assert();
    expect(await firewall.startCheck(trusted)).toEqual([
      expect.stringContaining('other machines could connect to the instance'),
    ]);
    expect(lines).toEqual([
      'warn: firewall rules could not be set: no template can start on this host',
    ]);
  });
});

test('with `off`, no script is run', async () => {
  const { logger, lines } = recording();
  const firewall = await createFirewall({
    network,
    mode: 'off',
    runOnHost: refused,
    egress,
    logger,
  });
  await firewall.assert();
  await firewall.remove();
  expect(lines).toEqual([]);
  expect(await firewall.startCheck(untrusted)).toEqual([]);
});

test('once rules were set, a recreated network is not used without them', async () => {
  const { logger } = recording();
  let works = true;
  const runOnHost = () => (works ? Promise.resolve('') : refused());
  const firewall = await createFirewall({ network, mode: 'auto', runOnHost, egress, logger });
  firewall.keep([]);
  works = false;
  await expect(firewall.secure(network)).rejects.toThrow(/eph-00000000.*Permission denied/);
});

test('the first success is not logged as restored rules', async () => {
  const { logger, lines } = recording();
  let works = false;
  const runOnHost = () => (works ? Promise.resolve('put first: iptables INPUT') : refused());
  const firewall = await createFirewall({ network, mode: 'auto', runOnHost, egress, logger });
  works = true;
  await firewall.assert();
  await firewall.assert();
  expect(lines).toEqual([
    'warn: firewall rules could not be set: only trusted templates can start on this host',
    'info: firewall rules could be set again',
    'warn: firewall rules were missing or not first, and have been restored',
  ]);
});

test('an empty script does not count as a success', async () => {
  const { logger, lines } = recording();
  const runOnHost = (script: string) => (script === '' ? Promise.resolve('') : refused());
  const firewall = await createFirewall({ network, mode: 'auto', runOnHost, egress, logger });
  firewall.keep([]);
  await firewall.assert();
  expect(await firewall.startCheck(untrusted)).not.toEqual([]);
  expect(lines).toHaveLength(1);
});
