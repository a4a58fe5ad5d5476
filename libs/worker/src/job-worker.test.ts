import { createLogger } from '@ephemera/process';
import { connectRedis } from '@ephemera/store';
import { startSentinel, waitFor } from '@ephemera/test-support';
import { Queue } from 'bullmq';
import { expect, onTestFinished, test } from 'vitest';
import { startJobWorker } from './job-worker.ts';

// BullMQ duplicates the connection for its blocking read. Both must follow the master.
test.each([
  ['a planned failover', undefined],
  ['the loss of a master that closes no connection', 'SIGSTOP'],
] as const)('jobs are taken again after %s', async (_, signal) => {
  const set = await startSentinel();
  const connection = connectRedis({ url: set.url }, 'job', () => undefined);
  const prefix = '{jobs}';
  const done: string[] = [];
  const worker = startJobWorker<unknown, number>(
    'spawn',
    (job) => Promise.resolve(done.push(job.id ?? '')),
    { connection, prefix, logger: createLogger('worker', 'silent') },
  );
  const queue = new Queue('spawn', { connection, prefix });
  queue.on('error', () => undefined);
  onTestFinished(async () => {
    await worker.close();
    await queue.close();
    connection.disconnect();
    await set.stop();
  });
  await queue.add('job', {}, { jobId: 'before' });
  await waitFor('the first job', () => done.includes('before'));

  const master = await set.master();
  if (signal === undefined) await set.failover();
  else process.kill(master.pid, signal);
  await waitFor('another master', async () => (await set.master()).port !== master.port);
  const electedAt = performance.now();
  // Until the old master follows, the new one may have too few replicas for a write.
  await waitFor('a job to be accepted', () => queue.add('job', {}, { jobId: 'after' }));
  await waitFor('the job after it', () => done.includes('after'));
  expect(performance.now() - electedAt).toBeLessThan(15_000);
});
