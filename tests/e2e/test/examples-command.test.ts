import { join } from 'node:path';
import { startChild, waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { docker } from './docker-cli.ts';

const program = join(import.meta.dirname, '../src/examples/main.ts');

test('npm run examples serves an example in both forms until Ctrl-C, and leaves no container', async () => {
  const child = startChild(process.execPath, [program, 'nginx']);
  try {
    await waitFor('the addresses', () => {
      if (child.ended() !== undefined) throw new Error(child.log());
      return child.log().includes('Press Ctrl-C to stop.');
    });
    const containers = (id: string) =>
      docker('ps', '--all', '--quiet', '--filter', `label=ephemera.instance=${id}`);
    const ids: string[] = [];
    for (const form of ['path', 'host']) {
      const [, start = ''] = new RegExp(`${form} form +(\\S+)`).exec(child.log()) ?? [];
      const id = await (await fetch(`${start}?redirect=0`)).text();
      await waitFor('a container', async () => (await containers(id)).length === 1);
      ids.push(id);
    }
    child.signal('SIGINT');
    expect(await child.exit()).toBe(0);
    for (const id of ids) expect(await containers(id)).toEqual([]);
  } finally {
    await child.stop();
  }
}, 300_000);
