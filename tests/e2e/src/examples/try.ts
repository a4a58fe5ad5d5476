/** `ephemera try` on the image of an example, and an instance of the template that it prints. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { waitFor } from '@ephemera/test-support';
import { FORMS, imageOf, type RunningExample, startExample, templateOf } from './example.ts';

const client = join(import.meta.dirname, '../../../../apps/cli/src/main.ts');

/** What `ephemera try --json` prints. */
interface Printed {
  readonly works: boolean;
  readonly file: string;
  readonly lines: readonly { readonly line: string }[];
  readonly attempts: number;
  readonly message?: string;
  readonly hint?: { readonly text: string };
}

export interface Tried {
  readonly name: string;
  /** The lines of the template that it found, without `image` and `port`. */
  readonly lines: readonly string[];
  /** How many containers it started. */
  readonly starts: number;
  /** Why no template was found, or why an instance of it does not serve; undefined if it serves. */
  readonly failure: string | undefined;
}

/**
 * Gives `ephemera try` the image and the port of an example, and nothing else of its template. Then
 * starts a deployment with the file that it prints, and requests the page of an instance.
 * @throws Error if the command fails in another way than that no template serves
 */
export async function tryExample(name: string, signal: AbortSignal): Promise<Tried> {
  const image = imageOf(name);
  const [, port = ''] = /^ +port: (\d+)$/m.exec(await templateOf(name)) ?? [];
  const settings = [`EPHEMERA_NAMESPACE=examples-${process.pid}`, 'EPHEMERA_CONFIG=/none'];
  const command = [process.execPath, client, 'try', image, '--port', port, '--json'];
  const child = spawn('env', [...settings, ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // In its own process group: a signal from the terminal reaches it only from here.
    detached: true,
  });
  const onAbort = () => void child.kill('SIGINT');
  signal.addEventListener('abort', onAbort);
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  signal.removeEventListener('abort', onAbort);
  signal.throwIfAborted();
  if (output === '') throw new Error(`ephemera try ${image} printed no result`);
  const { works, file, lines, attempts, message, hint } = JSON.parse(output) as Printed;
  const found = { name, lines: lines.map(({ line }) => line), starts: attempts };
  if (!works) return { ...found, failure: hint?.text ?? message ?? 'no reason' };
  const example = await startExample(name, { templates: file });
  try {
    return { ...found, failure: await failureOf(example) };
  } finally {
    await example.site.stop();
  }
}

/** Starts an instance in each form, and requests its page. */
async function failureOf({ site }: RunningExample): Promise<string | undefined> {
  for (const [index, form] of FORMS.entries()) {
    const start = new URL(`${site.publicUrls[index] ?? ''}/demo/new?redirect=0`);
    if (form === 'host') start.hostname = 'localhost';
    const { body: id } = await request(start);
    const created = await waitFor(`the start of ${id}`, async () => {
      const answer = await site.api('GET', `/v1/instances/${id}`);
      const instance = (await answer.json()) as Instance;
      return ['pending', 'starting'].includes(instance.status.state) ? undefined : instance;
    });
    const { state, message = '' } = created.status;
    if (state !== 'ready') return `${form} form: ${state}: ${message}`;
    const { status } = await request(new URL(created.url));
    if (status >= 500) return `${form} form: GET answers ${status}`;
  }
  return undefined;
}

interface Instance {
  readonly url: string;
  readonly status: { readonly state: string; readonly message?: string };
}

/** GET of an address of this machine. Node does not resolve the names below `localhost`. */
async function request(url: URL): Promise<{ status: number; body: string }> {
  const asked = get({
    ...{ host: '127.0.0.1', port: url.port, path: url.pathname + url.search },
    headers: { host: url.host },
  });
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}
