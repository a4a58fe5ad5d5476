import { resolve } from 'node:path';
import { ConfigError, loadTemplates, readRegistryLogins, resolveWebhooks } from '@ephemera/config';
import type { TemplateSet } from '@ephemera/config';
import { fieldThatNeedsKeys } from '@ephemera/domain';
import { buildCommand } from '@stricli/core';
import { EXIT_CODES } from '../exit-codes.ts';
import type { CliContext } from '../context.ts';
import { outputAliases, outputFlags, createPrinter } from '../output.ts';
import type { OutputFlags } from '../output.ts';

/** What the processes need besides the file, and this environment does not have. */
function missingHere(path: string, file: TemplateSet, environment: NodeJS.ProcessEnv): string[] {
  const notes: string[] = [];
  for (const read of [
    () => resolveWebhooks(file.webhooks, environment),
    () =>
      readRegistryLogins(
        { configFile: path, dockerConfig: environment['EPHEMERA_DOCKER_CONFIG'] },
        environment,
      ),
  ]) {
    try {
      read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      notes.push(...error.faults.map(({ path, detail }) => `${path}: ${detail} (on the workers)`));
    }
  }
  const { EPHEMERA_SIGNING_KEYS: keys, EPHEMERA_SIGNING_KEYS_FILE: keyFile } = environment;
  for (const template of file.templates.values()) {
    const { name, create } = template;
    const field = fieldThatNeedsKeys(template) ?? (create === 'link' ? 'create' : undefined);
    if (keys || keyFile || field === undefined) continue;
    notes.push(`templates.${name}.${field}: needs EPHEMERA_SIGNING_KEYS (on the proxies)`);
  }
  return notes;
}

export const check = buildCommand({
  func(this: CliContext, flags: OutputFlags, path?: string) {
    const print = createPrinter(this, flags);
    const file = path === undefined ? this.config().configFile : resolve(path);
    let set: TemplateSet;
    try {
      set = loadTemplates(file);
    } catch (error) {
      if (!(error instanceof ConfigError) || !flags.json) throw error;
      print({ text: '', json: { valid: false, file, issues: error.faults }, quiet: '' });
      this.exitCode = EXIT_CODES.failed.code;
      return;
    }
    const names = [...set.templates.keys()];
    const notes = missingHere(file, set, this.environment);
    const text = [
      `${file} is valid. Templates: ${names.join(', ')}.`,
      ...(notes.length > 0 ? ['Not set in this environment:'] : []),
      ...notes.map((note) => `  ${note}`),
    ].join('\n');
    print({ text, json: { valid: true, file, templates: names, notes }, quiet: '' });
  },
  parameters: {
    flags: outputFlags,
    aliases: outputAliases,
    positional: {
      kind: 'tuple',
      parameters: [
        {
          brief: 'Path of the file; EPHEMERA_CONFIG or ephemera.yml where absent',
          placeholder: 'file',
          parse: String,
          optional: true,
        },
      ],
    },
  },
  docs: {
    brief: 'Check the configuration file, without a connection',
    fullDescription: `Check the configuration file as proxies and workers do, and print every error with its line.
It needs neither Docker nor Redis. The exit code is 1 if the file has an error.`,
  },
});
