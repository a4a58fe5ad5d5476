import { createServer, type AddressInfo } from 'node:net';

import { expect, onTestFinished, test } from 'vitest';

import { isPortFree, planPorts } from './plan-ports.ts';

const wanted = {
  host: '127.0.0.1',
  adminHost: '127.0.0.1',
  publicPort: 8080,
  adminPort: 8081,
  dashboardPort: 8082,
  workerPort: 8083,
};
const allBut =
  (...taken: number[]) =>
  (_: string, port: number) =>
    Promise.resolve(!taken.includes(port));

test('the first of each kind gets the configured port, the others the next free ones', async () => {
  const plan = await planPorts(wanted, { proxies: 3, workers: 2 }, allBut(8085));
  expect(plan).toEqual({
    public: 8080,
    dashboard: 8082,
    proxies: [8081, 8084, 8086],
    workers: [8083, 8087],
  });
});

test('every taken port is named at once', async () => {
  const refused = planPorts(wanted, { proxies: 2, workers: 1 }, allBut(8080, 8082));
  await expect(refused).rejects.toThrow(
    /8080 \(EPHEMERA_PUBLIC_PORT\) is taken\n.*8082 \(EPHEMERA_DASHBOARD_PORT\) is taken/,
  );
});

test('each port is checked on the address that it will use', async () => {
  const asked: string[] = [];
  const apart = { ...wanted, host: '192.0.2.1' };
  await planPorts(apart, { proxies: 1, workers: 1 }, (host, port) => {
    asked.push(`${host}:${port}`);
    return Promise.resolve(true);
  });
  expect(asked).toEqual(['192.0.2.1:8080', '127.0.0.1:8081', '127.0.0.1:8082', '127.0.0.1:8083']);
});

test('one port for two settings is refused', async () => {
  const refused = planPorts({ ...wanted, adminPort: 8080 }, { proxies: 1, workers: 1 }, allBut());
  await expect(refused).rejects.toThrow('8080 (EPHEMERA_ADMIN_PORT) is configured twice');
});

// Two proxies share the public port. A second start must not join them unnoticed.
test('a port with SO_REUSEPORT counts as taken', async () => {
  const server = createServer();
  const options = { host: '127.0.0.1', port: 0, reusePort: true };
  await new Promise<void>((resolve) => server.listen(options, resolve));
  const { port } = server.address() as AddressInfo;
  onTestFinished(() => {
    server.close();
  });
  expect(await isPortFree('127.0.0.1', port)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await isPortFree('127.0.0.1', port)).toBe(true);
});
