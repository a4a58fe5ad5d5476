/**
 * Looks for the shortest template with which an image serves:
 *
 *     node apps/worker/src/try-image.ts --image IMAGE --within SECONDS [--port N]
 *
 * Prints JSON lines: `{"progress": TEXT}`, and at the end `{"result": TryResult}`, or
 * `{"error": TEXT}` if the image cannot be tried. SIGTERM, SIGINT and the end of the process that
 * started it end it; it removes its containers first.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadTemplates } from '@ephemera/config';
import { BootError, STRICT_POLICY } from '@ephemera/domain';
import { runMain } from '@ephemera/process';
import { tryImage } from '@ephemera/worker';
import { readConfig } from './config.ts';

const { values } = parseArgs({
  options: {
    image: { type: 'string', default: '' },
    within: { type: 'string', default: '120' },
    port: { type: 'string' },
  },
});
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort());
}
// If the command is killed, nobody reads the result.
process.stdout.on('error', () => stop.abort());
const command = process.ppid;
setInterval(() => {
  if (process.ppid !== command) stop.abort();
}, 1_000).unref();

await runMain(async () => {
  try {
    const config = readConfig();
    const policy = existsSync(config.configFile)
      ? loadTemplates(config.configFile).policy
      : STRICT_POLICY;
    const result = await tryImage({
      ...{ config, policy, image: values.image, signal: stop.signal },
      port: values.port === undefined ? undefined : Number(values.port),
      maxMs: Number(values.within) * 1000,
      onProgress: (progress) => print({ progress }),
    });
    print({ result });
  } catch (error) {
    if (stop.signal.aborted)
      print({ error: 'Interrupted. If containers remain, ephemera clean removes them.' });
    else if (error instanceof BootError) print({ error: error.message });
    else throw error;
  }
  // A pull may still run.
  if (stop.signal.aborted) process.exit();
});

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
