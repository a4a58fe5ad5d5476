/**
 * `npm run examples -- NAME` builds an example and serves it until Ctrl-C. `npm run examples -- --try`
 * runs `ephemera try` on the images of the examples.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWithUsage, prepareMachine } from '@ephemera/test-support';
import { markdownTable, rowsOf, withTable } from '../page-table.ts';
import { buildExample, exampleNames, startExample, titleOf } from './example.ts';
import { type Tried, tryExample } from './try.ts';

const names = exampleNames();
const PAGE = 'docs/guides/applications.md';
/** As in the comment above its table. */
const COMMAND = 'npm run examples -- --try --write';

async function usage(): Promise<string> {
  const width = Math.max(...names.map((name) => name.length));
  const rows = names.map(async (name) => `  ${name.padEnd(width)}  ${await titleOf(name)}`);
  return `Usage: npm run examples -- NAME
       npm run examples -- --try [--write] [NAME…]

Builds the image of an example, starts a deployment with its template, and prints its addresses.
Ctrl-C removes its containers. The images stay, so that the next build is fast.

Examples:
${(await Promise.all(rows)).join('\n')}

Options:
  --try    Runs ephemera try on the images of the named examples, or of all. Starts an instance with
           each template that it finds. Prints a table. Exits with 1 if an example does not serve.
  --write  With --try: puts the results into the table of ${PAGE}.
  --help   Prints this text.
`;
}

type Arguments =
  | { readonly kind: 'help' }
  | { readonly kind: 'serve'; readonly name: string }
  | { readonly kind: 'try'; readonly chosen: readonly string[]; readonly isWriting: boolean };

function readArguments(): Arguments {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        try: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
      },
    });
    if (values.help === true) return { kind: 'help' };
    const unknown = positionals.find((text) => !names.includes(text));
    if (unknown !== undefined) throw new Error(`There is no example named ${unknown}.`);
    if (values.try) {
      const chosen = positionals.length > 0 ? positionals : names;
      return { kind: 'try', chosen, isWriting: values.write };
    }
    if (values.write) throw new Error('--write needs --try.');
    const [name, ...more] = positionals;
    if (name === undefined) throw new Error('The name of an example is missing.');
    if (more.length > 0)
      throw new Error(`Only one example runs at a time, not also ${more.join(', ')}.`);
    return { kind: 'serve', name };
  } catch (error) {
    const { message } = error as Error;
    exitWithUsage(
      `${message}\nThe examples are: ${names.join(', ')}.\nSee: npm run examples -- --help\n`,
    );
  }
}

const parsed = readArguments();
if (parsed.kind === 'help') {
  process.stdout.write(await usage());
  process.exit(0);
}

const stopped = Promise.withResolvers<NodeJS.Signals>();
const interrupted = new AbortController();
let isBuilding = true;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Nothing runs: an interrupted build leaves only cached steps.
    if (isBuilding) process.exit(130);
    interrupted.abort();
    stopped.resolve(signal);
  });
}

prepareMachine();
if (parsed.kind === 'serve') await serve(parsed.name);
else process.exitCode = await tryAll(parsed.chosen, parsed.isWriting);

async function build(name: string): Promise<void> {
  process.stdout.write(`Building the image of ${name}. The first build takes some minutes.\n`);
  isBuilding = true;
  await buildExample(name, process.stdout);
  isBuilding = false;
}

async function serve(name: string): Promise<void> {
  await build(name);
  const { site, start } = await startExample(name);
  process.stdout.write(`
${await titleOf(name)} is ready. Each address starts an instance of your own:

  path form  ${start.path}
  host form  ${start.host}

Template: examples/${name}/ephemera.yml. Press Ctrl-C to stop.
`);
  await stopped.promise;
  process.stdout.write('\nRemoving the containers…\n');
  await site.stop();
  process.stdout.write('All containers are removed.\n');
}

/** @returns the exit code */
async function tryAll(chosen: readonly string[], isWriting: boolean): Promise<number> {
  const rows: string[][] = [];
  let code = 0;
  for (const name of chosen) {
    await build(name);
    try {
      const tried = await tryExample(name, interrupted.signal);
      if (tried.failure !== undefined) code = 1;
      rows.push(rowOf(tried));
    } catch (error) {
      if (!interrupted.signal.aborted) throw error;
      process.stdout.write('All containers are removed.\n');
      return 130;
    }
  }
  process.stdout.write(`\n${tableOf(rows).join('\n')}\n`);
  if (isWriting) {
    const path = join(import.meta.dirname, '../../../..', PAGE);
    const page = await readFile(path, 'utf8');
    const known = new Map([...rowsOf(page, COMMAND), ...rows].map((row) => [row[0], row]));
    const all = names.map((name) => known.get(`\`${name}\``)).filter((row) => row !== undefined);
    await writeFile(path, withTable(page, COMMAND, tableOf(all)));
  }
  return code;
}

function rowOf({ name, lines, starts, failure }: Tried): string[] {
  const code = lines.map((line) => `\`${line}\``).join(', ');
  return [`\`${name}\``, String(starts), String(lines.length), code, failure ?? 'ok'];
}

function tableOf(rows: readonly (readonly string[])[]): string[] {
  return markdownTable(
    ['example', 'starts', 'lines', 'lines beyond `image` and `port`', 'serves'],
    rows,
  );
}
