import { get } from 'node:http';
import { text } from 'node:stream/consumers';

/** Number of concurrent requests of `getUntil`. */
export const CONCURRENCY = 4;

/** Sends a GET request on a new connection, for which the balancer selects a proxy. */
export function getOnNewConnections(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
    }).once('error', reject);
  });
}

/**
 * Repeats requests until `done` settles. Returns all responses; a failed connection has status 0.
 */
export async function getUntil(
  url: string,
  done: Promise<unknown>,
): Promise<{ status: number; body: string }[]> {
  let isDone = false;
  const end = done.finally(() => (isDone = true));
  const answers: { status: number; body: string }[] = [];
  const runner = async (): Promise<void> => {
    while (!isDone) {
      answers.push(
        await getOnNewConnections(url).catch((error: unknown) => ({
          status: 0,
          body: String(error),
        })),
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await Promise.all([end, ...Array.from({ length: CONCURRENCY }, runner)]);
  return answers;
}
