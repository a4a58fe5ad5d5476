import type { Readable } from 'node:stream';
import { isProblem } from '@ephemera/client';
import type { CommandEnd, ExecSignal, RunningCommand } from '@ephemera/client';
import { buildCommand } from '@stricli/core';

import type { CliContext } from '../context.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { rawFlag } from '../output.ts';
import { fullId, pairFlag, parseSeconds, recordOf } from '../parameters.ts';
import type { Pair } from '../parameters.ts';
import { createTextWriter, isTerminal, visible } from '../terminal/visible.ts';

interface ExecFlags {
  readonly cwd?: string;
  readonly env?: readonly Pair[];
  readonly user?: string;
  readonly timeout?: number;
  readonly raw: boolean;
}

const FORWARDED = ['HUP', 'INT', 'QUIT', 'TERM'] as const satisfies readonly ExecSignal[];

export const exec = buildCommand({
  async func(this: CliContext, flags: ExecFlags, ...words: readonly string[]) {
    const { env = [], raw, ...others } = flags;
    const [id = '', ...cmd] = words;
    const stdin = this.stdin?.();
    const command = await this.api().spawn(await fullId(this, id), cmd, {
      ...others,
      env: recordOf('--env', env),
      keepStdin: stdin !== undefined,
    });
    let hasEnded = false;
    const stopForwarding = forwardSignals(command);
    if (stdin) {
      sendInput(command, stdin).catch((error: unknown) => {
        // A command may end without reading all of its input.
        if (hasEnded || isProblem(error, 'conflict', 'gone')) return;
        this.process.stderr.write(`${visible((error as Error).message)}\n`);
        // It would wait for the rest, or take what it has for all.
        command.kill().catch(() => undefined);
      });
    }
    try {
      const end = await printOutput(this, command, raw);
      hasEnded = true;
      this.exitCode = exitCodeOf(end);
      if (end.state !== 'exited') {
        const why = end.state === 'lost' ? 'its worker has restarted' : end.reason;
        this.process.stderr.write(`The command was killed: ${visible(why)}.\n`);
      }
    } finally {
      stopForwarding();
      stdin?.destroy();
    }
  },
  parameters: {
    flags: {
      cwd: {
        kind: 'parsed',
        parse: String,
        brief: 'Working directory; default: that of the container',
        placeholder: 'path',
        optional: true,
      },
      env: pairFlag('--env', 'Variable of the command; may be given several times'),
      user: {
        kind: 'parsed',
        parse: String,
        brief: 'User, or user:group; default: that of the container',
        placeholder: 'user',
        optional: true,
      },
      timeout: {
        kind: 'parsed',
        parse: parseSeconds('--timeout'),
        brief: 'Kill the command after this time, such as 30s',
        placeholder: 'duration',
        optional: true,
      },
      raw: rawFlag,
    },
    positional: {
      kind: 'array',
      parameter: {
        brief: 'Id of the instance, then the program and its arguments',
        placeholder: 'id and command',
        parse: String,
      },
      minimum: 2,
    },
  },
  docs: {
    brief: 'Run a command in an instance',
    fullDescription: `Run a command in an instance, whose template must allow it (exec).

  ephemera exec ID -- python3 -c 'print(6 * 7)'
  tar c . | ephemera exec ID -- tar x -C /tmp

Input that is piped goes to the command. The exit code is that of the command. SIGINT, SIGTERM, SIGHUP and
SIGQUIT are passed on to its processes.`,
  },
});

/**
 * Copies the output, as fast as it is accepted: unchanged to a file or a program, and with visible
 * control characters to a terminal.
 */
async function printOutput(
  { process: { stdout, stderr } }: CliContext,
  command: RunningCommand,
  isRaw: boolean,
): Promise<CommandEnd> {
  const printers = { stdout: createPrinter(stdout, isRaw), stderr: createPrinter(stderr, isRaw) };
  const output = command.output();
  try {
    for (;;) {
      const { done, value } = await output.next();
      if (done === true) return value;
      await printers[value.stream].print(value.data);
    }
  } finally {
    printers.stdout.end();
    printers.stderr.end();
  }
}

interface Printer {
  print(data: Uint8Array): Promise<void> | void;
  end(): void;
}

function createPrinter(stream: CliContext['process']['stdout'], isRaw: boolean): Printer {
  if (!isRaw && isTerminal(stream)) {
    const decoder = new TextDecoder();
    const writer = createTextWriter(stream, isRaw);
    return {
      print: (data) => writer.write(decoder.decode(data, { stream: true })),
      end: () => writer.end(),
    };
  }
  const to = stream as NodeJS.WritableStream;
  return {
    async print(data) {
      if (!to.write(data)) await new Promise((resolve) => to.once('drain', resolve));
    },
    end: () => undefined,
  };
}

async function sendInput(command: RunningCommand, stdin: Readable): Promise<void> {
  for await (const chunk of stdin) await command.write(chunk as Buffer);
  await command.end();
}

function forwardSignals(command: RunningCommand): () => void {
  const handlers = FORWARDED.map((name) => {
    // The command may have ended.
    const handler = (): void => void command.kill(name).catch(() => undefined);
    process.on(`SIG${name}`, handler);
    return () => process.off(`SIG${name}`, handler);
  });
  return () => handlers.forEach((remove) => remove());
}

function exitCodeOf(end: CommandEnd): number {
  if (end.state === 'exited') return end.exitCode;
  const isTimeout = end.state === 'killed' && end.reason === 'timeout';
  return (isTimeout ? EXIT_CODES.timeout : EXIT_CODES.killed).code;
}
