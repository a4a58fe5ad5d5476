/** The suites as programs: `node apps/e2e-adversary/src/main.ts SUITE [--name value ...]`. */
import { parseArgs } from 'node:util';
import { runChurn } from './churn/run-churn.ts';
import type { Options } from './options.ts';

const suites: Record<string, (options: Options) => Promise<boolean>> = {
  churn: runChurn,
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    answers: { type: 'string' },
    cases: { type: 'string' },
    case: { type: 'string' },
    seed: { type: 'string' },
    side: { type: 'string' },
  },
});
const chosen = positionals.length > 0 ? positionals : Object.keys(suites);
for (const name of chosen) {
  const suite = suites[name];
  if (!suite) throw new Error(`there is no ${name}; there are ${Object.keys(suites).join(', ')}`);
  process.stdout.write(`\n${name}\n`);
  if (!(await suite(values))) process.exitCode = 1;
}
// Nothing that a suite has left open may keep the command from ending.
process.exit();
