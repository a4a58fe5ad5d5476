import { createClient } from '@ephemera/client';
import { waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { TOKEN, deploy } from './deployment.ts';
import { processesOf } from './docker-cli.ts';

// A worker dies while a command runs in an instance of its host.

const TEMPLATES = `
templates:
  operators:
    image: ephemera/demo
    port: 8080
    timeout: 10m
    stopGrace: 0s
    tmpfs: { /tmp: 16m }
    command: ['/bin/sh', '-c', 'httpd -p 8080 -h /tmp; while :; do sleep 60; done']
    exec: admin
`;

// The address of the dead worker expires first, and then the reads of the addresses must agree.
test(
  'after a restart of the worker, its commands are lost and their processes killed',
  { timeout: 180_000 },
  async () => {
    const env = { EPHEMERA_SIGNING_KEYS: 'e2e-0123456789abcdef0123456789abcdef' };
    const site = await deploy({ templates: TEMPLATES, env });
    try {
      const client = createClient({ url: site.adminUrls[0] ?? '', token: TOKEN });
      const instance = await client.create({ template: 'operators' }, { waitMs: 60_000 });
      const command = await instance.spawn(['sleep', '5005']);
      expect(await processesOf(instance.id)).toContain('sleep 5005');
      site.workers[0]?.child.kill('SIGKILL');
      await site.startWorker();
      const path = `/v1/instances/${instance.id}/exec/${command.execId}`;
      await waitFor('its state', async () => {
        const answer = await site.api('GET', path);
        return answer.ok && ((await answer.json()) as { state: string }).state === 'lost';
      });
      await waitFor('the end of its process', async () => {
        return !(await processesOf(instance.id)).includes('sleep 5005');
      });
      expect(await instance.exec(['true'])).toMatchObject({ exitCode: 0 });
    } finally {
      await site.stop();
    }
  },
);
