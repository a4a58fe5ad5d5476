import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { docker } from './docker-cli.ts';

// Events, logs and resource usage of instances, as an operator reads them.

const TEMPLATES = `
default: talker
templates:
  talker:
    image: ephemera/demo
    port: 8080
    timeout: 120s
    stopGrace: 0s
    limits: { memory: 32m }
    tmpfs: { /tmp: 1m }
    command: ['/bin/sh', '-c', 'httpd -p 8080 -h /tmp; echo trouble >&2; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done']
  flood:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    tmpfs: { /tmp: 1m }
    command: ['/bin/sh', '-c', 'i=0; while [ $i -lt 9000 ]; do i=$((i+1)); echo line number $i of many; done; exec httpd -f -p 8080 -h /tmp']
  quitter:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    command: ['/bin/sh', '-c', 'httpd -p 8080 -h /tmp; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo I am leaving; exit 3']
    tmpfs: { /tmp: 1m }
  glutton:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    limits: { memory: 16m }
    command: ['/bin/sh', '-c', 'httpd -p 8080 -h /tmp; while [ ! -e /tmp/go ]; do sleep 0.05; done; exec tail /dev/zero']
    tmpfs: { /tmp: 1m }
`;

let site: Deployment;
beforeAll(async () => {
  site = await deploy({
    ...{ templates: TEMPLATES, proxies: 2 },
    // With keys, proxies connect to the workers.
    env: { EPHEMERA_SIGNING_KEYS: 'e2e-0123456789abcdef0123456789abcdef' },
  });
});
afterAll(() => site.stop());

async function start(template: string): Promise<string> {
  const answer = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as { id: string }).id;
}

const logs = async (id: string, query = '', replica = 0) =>
  (await site.api('GET', `/v1/instances/${id}/logs${query}`, undefined, {}, replica)).text();

const container = async (id: string) =>
  (await docker('ps', '-aq', '--filter', `label=ephemera.instance=${id}`))[0] ?? '';

/** Reads a text stream until it ends or `leave` is called. */
function follow(path: string) {
  const leaving = new AbortController();
  const stream = { text: '', ended: false, leave: () => leaving.abort() };
  const url = `${site.adminUrls[1] ?? ''}${path}`;
  void fetch(url, { headers: { authorization: `Bearer ${TOKEN}` }, signal: leaving.signal })
    .then(async (answer) => {
      for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        stream.text += chunk;
      }
      stream.ended = true;
    })
    .catch(() => undefined);
  return stream;
}

describe('logs', () => {
  test('can be read completely, by tail and with timestamps, from any replica', async () => {
    const id = await start('flood');
    const all = await waitFor('all lines', async () => {
      const lines = (await logs(id, '', 1)).split('\n').filter(Boolean);
      return lines.length === 9000 && lines;
    });
    expect(all.every((line, i) => line === `line number ${i + 1} of many`)).toBe(true);
    const tail = await logs(id, '?tail=2&timestamps=1');
    expect(tail).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z line number 8999 of many\n/);
    expect(tail.split('\n')).toHaveLength(3);
  });

  test('are followed until the end without duplicates, and kept for some time afterwards', async () => {
    const id = await start('talker');
    const stream = follow(`/v1/instances/${id}/logs?follow=1`);
    await waitFor('some lines', () => stream.text.includes('line 8\n'));
    expect((await site.api('DELETE', `/v1/instances/${id}`)).status).toBe(202);
    await waitFor('the end', () => stream.ended);
    const lines = stream.text.split('\n').filter((line) => line.startsWith('line '));
    expect(lines).toEqual(lines.map((_, i) => `line ${i + 1}`));
    expect(stream.text).toContain('trouble\n');
    expect(await container(id)).toBe('');
    // The kept log contains exactly the streamed lines.
    expect((await logs(id)).split('\n').sort()).toEqual(stream.text.split('\n').sort());
    expect(await logs(id, '?tail=1')).toBe(`${lines.at(-1) ?? ''}\n`);
  });

  test('answer 404 for an unknown id and 400 for an invalid query', async () => {
    const id = await start('talker');
    const unknown = 'a'.repeat(26);
    expect((await site.api('GET', `/v1/instances/${unknown}/logs`)).status).toBe(404);
    for (const query of ['?tail=-1', '?tail=x', '?follow=maybe', '?since=1']) {
      expect((await site.api('GET', `/v1/instances/${id}/logs${query}`)).status).toBe(400);
    }
  });
});

test('stats return the resource usage of an instance', async () => {
  const id = await start('talker');
  const answer = await site.api('GET', `/v1/instances/${id}/stats`, undefined, {}, 1);
  expect(answer.status).toBe(200);
  const usage = (await answer.json()) as { memory: { used: number; limit: number }; pids: number };
  expect(usage.memory.limit).toBe(32 * 1024 ** 2);
  expect(usage.pids).toBeGreaterThan(1);
  expect(usage.memory.used).toBeGreaterThan(10_000);
});

describe('an end without a request', () => {
  for (const [template, reason, words] of [
    ['quitter', 'exited', 'exited with code 3'],
    ['glutton', 'oom', 'memory'],
  ] as const) {
    test(`is reported within a second with its reason: ${reason}`, async () => {
      const id = await start(template);
      const readyAt = Date.now();
      // An earlier exit is a failed start.
      await waitFor('5 s after the start', () => Date.now() - readyAt > 5_000);
      const stream = follow(`/v1/events?instance=${id}&type=draining,gone`);
      const target = await container(id);
      const hasExited = docker('wait', target).then(() => Date.now());
      await docker('exec', target, 'touch', '/tmp/go');
      await waitFor('the end of the instance', () => stream.text.includes('"type":"gone"'));
      stream.leave();
      const reported = stream.text.split('\n').filter((line) => line.startsWith('data: '));
      const [draining] = reported.map(
        (line) => JSON.parse(line.slice(6)) as { time: string; reason: string; message: string },
      );
      expect(draining?.reason).toBe(reason);
      expect(draining?.message).toContain(words);
      const probed = Date.parse(draining?.time ?? '') - (await hasExited);
      expect(probed).toBeLessThan(1_000);
      if (template === 'quitter') expect(await logs(id)).toContain('I am leaving\n');
    });
  }

  test('that no Docker event reported is found by reconciliation', async () => {
    const id = await start('glutton');
    const [worker] = site.workers;
    worker?.child.kill('SIGSTOP');
    await docker('exec', await container(id), 'touch', '/tmp/go');
    const target = await container(id);
    await waitFor('the exit of the container', async () => {
      const [running] = await docker('inspect', '--format', '{{.State.Running}}', target);
      return running === 'false';
    });
    // This worker missed the Docker event and is killed. The next worker receives no event and must
    // detect the exit itself.
    worker?.child.kill('SIGKILL');
    await site.startWorker();
    const status = await waitFor('the end of the instance', async () => {
      const answer = await site.api('GET', `/v1/instances/${id}`);
      const { status } = (await answer.json()) as { status: { state: string; reason: string } };
      return status.state === 'gone' && status;
    });
    expect(status.reason).toBe('oom');
  });
});
