import { get } from 'node:http';
import { text } from 'node:stream/consumers';

/** How many requests `getMeanwhile` keeps going. */
export const CONCURRENCY = 4;

/** A GET on a connection of its own, so that the balancer chooses a replica for it. */
export function getOnNewConnections(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
    }).once('error', reject);
  });
}

/** Asks again and again until `done` settles; gives every answer, failed connections as status 0. */
export async function getUntil(
  url: string,
  done: Promise<unknown>,
): Promise<{ status: number; body: string }[]> {
  let over = false;
  const end = done.finally(() => (over = true));
  const answers: { status: number; body: string }[] = [];
  const lane = async (): Promise<void> => {
    while (!over) {
      answers.push(
        await getOnNewConnections(url).catch((error: unknown) => ({
          status: 0,
          body: String(error),
        })),
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await Promise.all([end, ...Array.from({ length: CONCURRENCY }, lane)]);
  return answers;
}
