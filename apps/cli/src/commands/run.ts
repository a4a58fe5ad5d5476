import { BootError, EARLY_EXIT_MS, isPlannedEnd } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';

import { StartUnfinishedError, hintText } from '../admin-api.ts';
import type { Created, OnProgress } from '../admin-api.ts';
import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import {
  imageFlag,
  pairFlag,
  pathFlag,
  recordOf,
  templateParameter,
  timeoutFlag,
} from '../parameters.ts';
import type { Pair } from '../parameters.ts';
import { isTerminal, visible } from '../terminal/visible.ts';

/** How long `--wait` waits until an instance is ready. */
const WAIT_SECONDS = 60;
const POLL_INTERVAL_MS = 500;

interface RunFlags extends OutputFlags {
  readonly image?: string;
  readonly timeout?: number;
  readonly path?: string;
  readonly env?: readonly Pair[];
  readonly metadata?: readonly Pair[];
  readonly wait: boolean;
}

/**
 * Waits until the time has passed in which an exit is a failed start. Reads the state at least once,
 * because the clock of the client may be ahead of `startedAt`.
 * @returns why its state is unknown, if the last read of it failed
 * @throws BootError if the instance exits or fails within this time. A planned end is no failure.
 */
async function staysUp(
  { api, now, sleep }: CliContext,
  { id, startedAt }: Created,
): Promise<string | undefined> {
  const since = startedAt === undefined ? now() : Math.min(now(), Date.parse(startedAt));
  let problem: string | undefined;
  do {
    await sleep(POLL_INTERVAL_MS);
    // The instance was created, and only its creation contains the link: a failed read is no reason
    // not to print it.
    const status = await api()
      .get(id)
      .then(
        (instance) => {
          problem = undefined;
          return instance.status;
        },
        (error: unknown) => {
          problem = (error as Error).message;
          return undefined;
        },
      );
    if (status?.state !== 'draining' && status?.state !== 'gone' && status?.state !== 'failed')
      continue;
    if (status.reason && isPlannedEnd(status.reason)) break;
    const { state, reason = state, message = 'It has ended.', hint } = status;
    const lines = [`${id} ended right after it became ready (${reason}): ${message}`];
    throw new BootError([...lines, ...(hint ? [hintText(hint)] : [])].join('\n'));
  } while (now() - since < EARLY_EXIT_MS);
  return problem;
}

/** Prints each step of a start to a terminal. */
function showProgress({ process: { stderr } }: CliContext): OnProgress | undefined {
  if (!isTerminal(stderr)) return undefined;
  return ({ id, state, message }) =>
    stderr.write(`${visible(`${id} is ${[state, message].filter(Boolean).join(': ')}`)}\n`);
}

/**
 * Starts an instance and prints it. With `--wait`, it is printed once it is ready and stays up, or
 * when the time is over.
 * @param create starts it, and waits for it; 0 seconds: not at all
 * @throws BootError if it fails, or is not known to be ready in time
 */
export async function startAndPrint<T extends Created>(
  context: CliContext,
  flags: OutputFlags & { readonly wait: boolean },
  create: (waitSeconds: number, onProgress?: OnProgress) => Promise<T>,
  printInstance: (instance: Created | T) => void,
): Promise<void> {
  const instance = await create(
    flags.wait ? WAIT_SECONDS : 0,
    flags.wait && !flags.json && !flags.quiet ? showProgress(context) : undefined,
  ).catch((error: unknown) => {
    if (!(error instanceof StartUnfinishedError)) throw error;
    // The instance exists, and only the response to its creation contains the link.
    printInstance(error.instance);
    const watch = `Watch it with: ephemera get ${error.instance.id}`;
    throw new BootError(`${error.message}\n${watch}`, { cause: error });
  });
  const { id } = instance;
  const problem = flags.wait ? await staysUp(context, instance) : undefined;
  printInstance(instance);
  if (problem !== undefined) {
    context.process.stderr.write(
      `${id} became ready. Whether it stayed up is unknown, because its state could not be read: ${visible(problem)}\nCheck it with: ephemera get ${id}\n`,
    );
  }
}

/** `--wait` of a command that starts an instance. */
export const waitFlag = {
  kind: 'boolean',
  brief: `Wait up to ${WAIT_SECONDS} s until the instance is ready, and ${EARLY_EXIT_MS / 1000} s more to see that it stays up`,
  default: false,
  withNegated: false,
} as const;

export const run = buildCommand({
  async func(this: CliContext, flags: RunFlags, template?: string) {
    const print = createPrinter(this, flags);
    const request = {
      ...(template !== undefined && { template }),
      ...(flags.image !== undefined && { image: flags.image }),
      ...(flags.timeout !== undefined && { timeout: flags.timeout }),
      ...(flags.path !== undefined && { path: flags.path }),
      ...(flags.env && { env: recordOf('--env', flags.env) }),
      ...(flags.metadata && { metadata: recordOf('--metadata', flags.metadata) }),
    };
    await startAndPrint(
      this,
      flags,
      (...wait) => this.api().create(request, ...wait),
      (instance) => {
        const { id, url, link = url } = instance;
        print({ text: `${id}  ${link}`, json: instance, quiet: id });
      },
    );
  },
  parameters: {
    flags: {
      image: imageFlag,
      timeout: { ...timeoutFlag, optional: true },
      path: pathFlag,
      env: pairFlag('--env', 'Environment variable that the template allows; may be repeated'),
      metadata: pairFlag('--metadata', 'Text that the API and events return; may be repeated'),
      wait: waitFlag,
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [templateParameter] },
  },
  docs: { brief: 'Start an instance and print its id and address' },
});
