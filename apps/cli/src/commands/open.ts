import { spawn } from 'node:child_process';
import { BootError } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { createPrinter, outputAliases, outputFlags, type OutputFlags } from '../output.ts';
import { fullId, idParameter } from '../parameters.ts';

/** The program that opens an address in the browser of the user, by platform. */
const OPENERS: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  darwin: 'open',
  linux: 'xdg-open',
};

/** How long an opener may take to fail, ms. One that starts a browser itself runs as long as that. */
const FAILS_WITHIN_MS = 2_000;

/**
 * Starts the program that opens an address. It outlives the command.
 * @throws Error if it cannot be started, or fails at once
 */
async function openInBrowser(program: string, url: string): Promise<void> {
  const child = spawn(program, [url], { detached: true, stdio: 'ignore' });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, FAILS_WITHIN_MS, undefined);
  child.once('error', reject);
  child.once('exit', (code) => {
    if (code === 0) resolve(undefined);
    else reject(new Error(`${program} ended with code ${code}`));
  });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    child.unref();
  }
}

export const open = buildCommand({
  async func(this: CliContext, flags: OutputFlags, text: string) {
    const print = createPrinter(this, flags);
    const { id, url } = await this.api().get(await fullId(this, text));
    print({ text: url, json: { id, url }, quiet: url });
    const program = this.environment['BROWSER'] ?? OPENERS[process.platform];
    if (program === undefined || program === '') {
      throw new BootError('No program to open it is known here. Set BROWSER to one.');
    }
    await openInBrowser(program, url).catch((error: unknown) => {
      throw new BootError(
        `The address was not opened: ${(error as Error).message}. Open it yourself, or set BROWSER to a program that opens addresses.`,
        { cause: error },
      );
    });
  },
  parameters: {
    flags: outputFlags,
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [idParameter] },
  },
  docs: {
    brief: 'Open an instance in the browser',
    fullDescription: `Print the address of an instance and open it with the program in BROWSER, or with that of
the desktop. The address of a guarded instance contains no access token: only "run" prints it.`,
  },
});
