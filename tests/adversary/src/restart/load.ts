import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LoadResult {
  readonly sent: number;
  readonly failed: Readonly<Record<string, number>>;
  /** Durations of successful requests, ms, ascending. */
  readonly durations: readonly number[];
}

/** Sends requests at a steady rate, independent of earlier ones, until the signal aborts. */
export async function steadyLoad(
  options: { port: number; path: string; perSecond: number; keepAlive?: boolean },
  signal: AbortSignal,
): Promise<LoadResult> {
  const { port, path, perSecond } = options;
  const agent = new Agent({ keepAlive: options.keepAlive ?? true, maxSockets: 256 });
  const failed: Record<string, number> = {};
  const durations: number[] = [];
  const open = new Set<Promise<void>>();
  const started = performance.now();
  let sent = 0;
  const ask = async () => {
    const before = performance.now();
    const outcome = await get(agent, port, path);
    if (outcome === '200') durations.push(performance.now() - before);
    else failed[outcome] = (failed[outcome] ?? 0) + 1;
  };
  while (!signal.aborted) {
    const due = ((performance.now() - started) / 1000) * perSecond;
    for (; sent < due; sent++) {
      const item = ask().finally(() => open.delete(item));
      open.add(item);
    }
    await sleep(5);
  }
  await Promise.all(open);
  agent.destroy();
  return { sent, failed, durations: durations.sort((a, b) => a - b) };
}

/** @returns the status, or the code of the error */
export async function get(agent: Agent, port: number, path: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const sent = request({ agent, port, host: '127.0.0.1', path, timeout: 30_000 }, (response) => {
    response.resume();
    response.on('end', () => resolve(String(response.statusCode)));
    response.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'broken'));
  });
  sent.on('timeout', () => sent.destroy(new Error('timeout')));
  sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  sent.end();
  return await promise;
}
