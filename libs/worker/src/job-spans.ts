import { inSpan } from '@ephemera/process';
import type { Tracing } from '@ephemera/process';
import { DelayedError } from 'bullmq';
import type { Job, Processor } from 'bullmq';
import type { startJobWorker } from './job-worker.ts';

/** The facts in the data of a job that its span has. */
interface TracedData {
  readonly id?: string;
  readonly generation?: number;
  readonly template?: string;
  readonly webhook?: string;
  readonly traceparent?: string;
}

/**
 * Returns a function that starts the worker of a queue whose jobs run in a span each.
 * @param tracing undefined: no traces are recorded
 */
export function withJobSpans(
  start: typeof startJobWorker,
  tracing: Tracing | undefined,
): typeof startJobWorker {
  if (tracing === undefined) return start;
  return <Data, Result>(
    queue: string,
    process: Processor<Data, Result>,
    options: Parameters<typeof startJobWorker>[2],
  ) => start<Data, Result>(queue, tracedProcessor(tracing, queue, process), options);
}

function tracedProcessor<Data, Result>(
  tracing: Tracing,
  queue: string,
  process: Processor<Data, Result>,
): Processor<Data, Result> {
  return (...args) => {
    const [job] = args;
    const { id, generation, template, webhook } = job.data as TracedData;
    const options = {
      kind: 'consumer',
      ...causeOf(job),
      attributes: {
        'messaging.system': 'bullmq',
        'messaging.operation.type': 'process',
        'messaging.operation.name': 'process',
        'messaging.destination.name': queue,
        'messaging.message.id': job.id,
        'ephemera.job.attempt': job.attemptsStarted,
        'ephemera.instance.id': id,
        'ephemera.generation': generation,
        'ephemera.template': template,
        'ephemera.webhook': webhook,
      },
    } as const;
    let requeued: DelayedError | undefined;
    const run = inSpan(tracing, `process ${queue}`, options, async (span) => {
      try {
        return await process(...args);
      } catch (error) {
        // BullMQ's way to say that the job has delayed itself. It is no failure.
        if (!(error instanceof DelayedError)) throw error;
        span?.setAttributes({ 'ephemera.job.requeued': true });
        requeued = error;
        return undefined;
      }
    });
    return run.then((result) => {
      if (requeued) throw requeued;
      return result as Result;
    });
  };
}

/**
 * A job that runs at once is a part of the trace that added it. One that was added for a later time
 * begins a trace, with a link: a trace of hours is of no use.
 */
function causeOf({
  data,
  opts,
}: Job): { parent?: { traceparent: string } } | { link?: { traceparent: string } } {
  const { traceparent } = data as TracedData;
  if (traceparent === undefined) return {};
  return (opts.delay ?? 0) > 0 ? { link: { traceparent } } : { parent: { traceparent } };
}
