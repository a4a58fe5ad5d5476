/** `npm run examples -- NAME` builds an example and serves it until Ctrl-C. */
import { parseArgs } from 'node:util';
import { exitWithUsage, prepareMachine } from '@ephemera/test-support';
import { buildExample, exampleNames, startExample, titleOf } from './example.ts';

const names = exampleNames();

async function usage(): Promise<string> {
  const width = Math.max(...names.map((name) => name.length));
  const rows = names.map(async (name) => `  ${name.padEnd(width)}  ${await titleOf(name)}`);
  return `Usage: npm run examples -- NAME

Builds the image of an example, starts a deployment with its template, and prints its addresses.
Ctrl-C removes its containers. The images stay, so that the next build is fast.

Examples:
${(await Promise.all(rows)).join('\n')}

Options:
  --help  Prints this text.
`;
}

/** @returns the name; undefined for `--help` */
function readArguments(): string | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true) return undefined;
    const [name, ...more] = positionals;
    if (name === undefined) throw new Error('The name of an example is missing.');
    if (more.length > 0)
      throw new Error(`Only one example runs at a time, not also ${more.join(', ')}.`);
    if (!names.includes(name)) throw new Error(`There is no example named ${name}.`);
    return name;
  } catch (error) {
    const { message } = error as Error;
    exitWithUsage(
      `${message}\nThe examples are: ${names.join(', ')}.\nSee: npm run examples -- --help\n`,
    );
  }
}

const name = readArguments();
if (name === undefined) {
  process.stdout.write(await usage());
  process.exit(0);
}

const stopped = Promise.withResolvers<NodeJS.Signals>();
let isServing = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Nothing runs yet: an interrupted build leaves only cached steps.
    if (!isServing) process.exit(130);
    stopped.resolve(signal);
  });
}

prepareMachine();
process.stdout.write(`Building the image of ${name}. The first build takes some minutes.\n`);
await buildExample(name, process.stdout);
isServing = true;
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
