import { BootError, EARLY_EXIT_MS, isPlannedEnd } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';

import { StartUnfinishedError, hintText } from '../admin-api.ts';
import type { Created, OnProgress } from '../admin-api.ts';
import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter, type OutputFlags } from '../output.ts';
import { pairFlag, pathFlag, recordOf, templateParameter, timeoutFlag } from '../parameters.ts';
import type { Pair } from '../parameters.ts';
import { isTerminal, visible } from '../terminal/visible.ts';

const WAIT_SECONDS = 60;
const POLL_INTERVAL_MS = 500;

interface RunFlags extends OutputFlags {
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

export const run = buildCommand({
  async func(this: CliContext, flags: RunFlags, template?: string) {
    const print = createPrinter(this, flags);
    const printInstance = (instance: Created) => {
      const { id, url, link = url } = instance;
      print({ text: `${id}  ${link}`, json: instance, quiet: id });
    };
    const creation = this.api().create(
      {
        ...(template !== undefined && { template }),
        ...(flags.timeout !== undefined && { timeout: flags.timeout }),
        ...(flags.path !== undefined && { path: flags.path }),
        ...(flags.env && { env: recordOf('--env', flags.env) }),
        ...(flags.metadata && { metadata: recordOf('--metadata', flags.metadata) }),
      },
      flags.wait ? WAIT_SECONDS : 0,
      flags.wait && !flags.json && !flags.quiet ? showProgress(this) : undefined,
    );
    const instance = await creation.catch((error: unknown) => {
      if (!(error instanceof StartUnfinishedError)) throw error;
      // The instance exists, and only the response to its creation contains the link.
      printInstance(error.instance);
      const watch = `Watch it with: ephemera get ${error.instance.id}`;
      throw new BootError(`${error.message}\n${watch}`, { cause: error });
    });
    const { id } = instance;
    const problem = flags.wait ? await staysUp(this, instance) : undefined;
    printInstance(instance);
    if (problem !== undefined) {
      this.process.stderr.write(
        `${id} became ready. Whether it stayed up is unknown, because its state could not be read: ${visible(problem)}\nCheck it with: ephemera get ${id}\n`,
      );
    }
  },
  parameters: {
    flags: {
      timeout: { ...timeoutFlag, optional: true },
      path: pathFlag,
      env: pairFlag('--env', 'Environment variable that the template allows; may be repeated'),
      metadata: pairFlag('--metadata', 'Text that the API and events return; may be repeated'),
      wait: {
        kind: 'boolean',
        brief: `Wait up to ${WAIT_SECONDS} s until the instance is ready, and ${EARLY_EXIT_MS / 1000} s more to see that it stays up`,
        default: false,
        withNegated: false,
      },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: { kind: 'tuple', parameters: [templateParameter] },
  },
  docs: { brief: 'Start an instance and print its id and address' },
});
