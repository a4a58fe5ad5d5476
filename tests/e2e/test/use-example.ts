import { CHROMIUM, waitFor } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildExample, startExample } from '../src/examples/example.ts';
import { FORMS } from '../src/examples/example.ts';
import type { Form, RunningExample } from '../src/examples/example.ts';
import { docker } from './docker-cli.ts';

/** An instance of an example, as its visitor has it. */
export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly form: Form;
  /** The address of the instance, with a slash at the end. */
  readonly url: string;
  /** Responses with an error status so far, as `STATUS URL`. The test ends with none. */
  readonly failed: string[];
  /** Runs a command in the container. */
  exec(...command: string[]): Promise<string[]>;
}

/** The names of instances resolve to this machine in the browser, as with a wildcard DNS record. */
const BROWSER = {
  ...CHROMIUM,
  args: [...CHROMIUM.args, '--host-resolver-rules=MAP *.apps.test 127.0.0.1'],
};

/**
 * Builds an example and uses an instance of it in each form. The use may be repeated, from the
 * start and with the same instance.
 */
export function useExample(
  name: string,
  use: (visit: Visit) => Promise<void>,
  domain = 'apps.test',
): void {
  describe(name, () => {
    let example: RunningExample | undefined;
    let browser: Browser | undefined;

    beforeAll(async () => {
      await buildExample(name);
      example = await startExample(name, { domain });
      browser = await chromium.launch(BROWSER);
    }, 900_000);
    afterAll(async () => {
      await browser?.close();
      await example?.site.stop();
    });

    test.each(FORMS)(
      'works in %s form',
      async (form) => {
        if (!example || !browser) throw new Error('the example did not start');
        const { id, url } = await startInstance(example, form);
        const exec = (...command: string[]) =>
          containerOf(id).then((container) => docker('exec', container, ...command));
        for (;;) {
          const context = await browser.newContext();
          context.setDefaultTimeout(30_000);
          const page = await context.newPage();
          const failed: string[] = [];
          const network = { hasChanged: false };
          // Also of other tabs that the application opens.
          context.on('response', (answer) => {
            if (answer.status() >= 400) failed.push(`${answer.status()} ${answer.url()}`);
          });
          context.on('requestfailed', (request) => {
            // A second after the start of any container, the host end of its veth pair gets an
            // IPv6 address. Chromium then aborts its requests in flight.
            if (request.failure()?.errorText !== 'net::ERR_NETWORK_CHANGED') return;
            network.hasChanged = true;
            void context.close();
          });
          try {
            await use({ page, context, form, url, failed, exec });
            expect(failed).toEqual([]);
            return;
          } catch (error) {
            if (!network.hasChanged) throw error;
          } finally {
            await context.close();
          }
        }
      },
      240_000,
    );
  });
}

/** Starts an instance, and waits until it is ready. */
async function startInstance({ site }: RunningExample, form: Form) {
  const start = `${site.publicUrls[FORMS.indexOf(form)] ?? ''}/demo/new?redirect=0`;
  const id = await (await fetch(start)).text();
  const started = await waitFor(`the start of ${id}`, async () => {
    const instance = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as Instance;
    return ['pending', 'starting'].includes(instance.status.state) ? undefined : instance;
  });
  expect(started).toMatchObject({ status: { state: 'ready' } });
  return { id, url: started.url };
}
interface Instance {
  readonly url: string;
  readonly status: { readonly state: string };
}

async function containerOf(id: string): Promise<string> {
  const [container] = await docker('ps', '--quiet', '--filter', `label=ephemera.instance=${id}`);
  if (container === undefined) throw new Error(`${id} has no container`);
  return container;
}
