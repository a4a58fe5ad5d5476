import { StartError } from '@ephemera/domain';
import type { Logger } from '@ephemera/runtime';
import { expect, test } from 'vitest';
import { createFirewall } from './firewall.ts';

const network = {
  name: 'test',
  bridge: 'eph-00000000',
  subnet: '10.250.0.0/16',
  infrastructure: '10.250.0.0/24',
  range: { first: 0, count: 1 },
};

function recording() {
  const lines: string[] = [];
  const write = (level: string) => (_: unknown, text?: string) =>
    lines.push(`${level}: ${text ?? ''}`);
  return { lines, logger: { warn: write('warn'), info: write('info') } as unknown as Logger };
}

const refused = () => Promise.reject(new Error('iptables: Permission denied'));

test('where the rules are required and cannot be set, the worker does not start', async () => {
  const { logger } = recording();
  const made = createFirewall({ network, mode: 'required', runOnHost: refused, logger });
  await expect(made).rejects.toThrow(StartError);
  await expect(made).rejects.toThrow(/eph-00000000.*Permission denied/);
});

test('where they are not, it says once what that means', async () => {
  const { logger, lines } = recording();
  const firewall = await createFirewall({ network, mode: 'auto', runOnHost: refused, logger });
  await firewall.assert();
  await firewall.assert();
  expect(lines).toEqual([
    'warn: firewall rules could not be set: instances may reach this host and the network',
  ]);
});

test('where nobody wants them, nothing is run', async () => {
  const { logger, lines } = recording();
  const firewall = await createFirewall({ network, mode: 'off', runOnHost: refused, logger });
  await firewall.assert();
  await firewall.remove();
  expect(lines).toEqual([]);
});
