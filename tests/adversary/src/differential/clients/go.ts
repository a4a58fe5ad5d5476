/** Debian's Go: clients, and an instance whose handlers are those of net/http. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { installed, startChild, waitFor } from '@ephemera/test-support';

const CACHE = join(import.meta.dirname, '../../../../../.ephemera/cache/go');
let built: Promise<string> | undefined;

/** Returns the path of the program. Builds it once, and installs Go where it is missing. */
export async function goProgram(): Promise<string> {
  return await (built ??= build());
}

async function build(): Promise<string> {
  const go = await installed('go', 'golang-go');
  await mkdir(CACHE, { recursive: true });
  const program = join(CACHE, 'http');
  const source = join(import.meta.dirname, 'go_http.go');
  // Without cgo it needs no C compiler.
  const env = { GO111MODULE: 'off', CGO_ENABLED: '0', GOCACHE: CACHE, PATH: '/usr/bin:/bin' };
  const child = startChild(go, ['build', '-o', program, source], env);
  if ((await child.exit()) !== 0) throw new Error(`go build failed: ${child.log()}`);
  return program;
}

/**
 * Starts Go's server as an instance. Its ReverseProxy leads to another instance.
 * @param echo port of that instance
 */
export async function startGoUpstream(echo: number): Promise<{ port: number; stop(): void }> {
  const child = startChild(await goProgram(), ['serve', String(echo)]);
  const port = await waitFor('the Go server', () => {
    if (child.ended() !== undefined) throw new Error(`the Go server ended: ${child.log()}`);
    return /^port (\d+)$/m.exec(child.log())?.[1];
  });
  return { port: Number(port), stop: () => child.signal('SIGKILL') };
}
