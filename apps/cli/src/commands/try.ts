import { join } from 'node:path';
import { BootError } from '@ephemera/domain';
import type { Hint } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';

import { hintText } from '../admin-api.ts';
import { requireCheckout, workspace } from '../config.ts';
import type { CliContext } from '../context.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { createPrinter, outputAliases, outputFlags } from '../output.ts';
import type { OutputFlags } from '../output.ts';
import { parseInteger, parseSeconds } from '../parameters.ts';
import { createReporter } from '../terminal/reporter.ts';
import { visible } from '../terminal/visible.ts';
import { firewallSettings } from '../up/firewall-image.ts';
import { runCommand } from '../up/run-command.ts';
import { onStopSignals } from '../up/stop-signals.ts';

/** Only the worker contains code that uses the daemon, so it runs as a program. */
const program = join(workspace, 'apps/worker/src/try-image.ts');

/** The output of the program; see `TryResult` there. */
interface TryResult {
  readonly works: boolean;
  readonly image: string;
  readonly port: number;
  readonly file: string;
  readonly lines: readonly { readonly line: string; readonly cost: string }[];
  readonly attempts: number;
  readonly message?: string;
  readonly hint?: Hint;
}

interface TryFlags extends OutputFlags {
  readonly port?: number;
  readonly timeout: number;
}

/** A line of the program. Each has one of the fields. */
interface Printed {
  readonly progress?: string;
  readonly result?: TryResult;
  readonly error?: string;
}

function failureText({ image, port, message = '', hint, attempts }: TryResult): string {
  return [
    `No template was found with which ${image} serves on port ${port} (${attempts} starts). The last one:`,
    message,
    ...(hint ? [hintText(hint)] : []),
  ].join('\n');
}

export const tryCommand = buildCommand({
  async func(this: CliContext, flags: TryFlags, image: string) {
    requireCheckout('try');
    const print = createPrinter(this, flags);
    const config = this.config();
    const { configFile, environment } = config;
    const { stderr } = this.process;
    const stop = onStopSignals(
      () => stderr.write('Stopping: the containers are being removed.\n'),
      () => undefined,
    );
    let result: TryResult | undefined;
    let failure: string | undefined;
    const onLine = (line: string) => {
      if (!line.startsWith('{')) return;
      const printed = JSON.parse(line) as Printed;
      if (printed.progress !== undefined) stderr.write(`${visible(printed.progress)}\n`);
      result ??= printed.result;
      failure ??= printed.error;
    };
    const port = flags.port === undefined ? [] : ['--port', String(flags.port)];
    const run = async () => {
      const report = createReporter(stderr);
      const firewall = await firewallSettings(report, config, { environment, stop });
      const args = ['--image', image, '--within', String(flags.timeout), ...port];
      const env = { ...environment, ...firewall, EPHEMERA_CONFIG: configFile };
      await runCommand(process.execPath, [program, ...args], { env, onLine, stop });
    };
    await run().catch((error: unknown) => {
      if (!stop.aborted) throw error;
      failure ??= 'Interrupted. If containers remain, ephemera clean removes them.';
    });
    if (result === undefined) throw new BootError(failure ?? 'The image could not be tried.');
    if (!result.works) {
      if (!flags.json) throw new BootError(failureText(result));
      print({ text: '', json: result, quiet: '' });
      this.exitCode = EXIT_CODES.failed.code;
      return;
    }
    print({ text: result.file.trimEnd(), json: result, quiet: result.file.trimEnd() });
  },
  parameters: {
    flags: {
      port: {
        kind: 'parsed',
        parse: parseInteger('--port', 1, 65_535),
        brief: 'Port that the application listens on; the only exposed port where absent',
        placeholder: 'n',
        optional: true,
      },
      timeout: {
        kind: 'parsed',
        parse: parseSeconds('--timeout'),
        brief: 'Longest time until the application serves, for each start',
        placeholder: 'duration',
        default: '2m',
      },
      ...outputFlags,
    },
    aliases: outputAliases,
    positional: {
      kind: 'tuple',
      parameters: [{ brief: 'Docker image', placeholder: 'image', parse: String }],
    },
  },
  docs: {
    brief: 'Find the shortest template with which an image serves',
    fullDescription: `Start an image on the Docker daemon of this machine with the safe defaults, loosen them until it
serves, and take back what it does not need. Prints an ephemera.yml that says what each line costs in
safety. It needs no Redis, opens no network to the image, and removes its containers, also after Ctrl-C.
The exit code is 1 if the image serves with no template; the message has the last lines of its log.`,
  },
});
