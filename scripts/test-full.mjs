/**
 * `npm run test:full`: the longer suites at a moderate length, about 20 minutes. `npm test`
 * includes a small part of each. Each suite has its own command for the full length.
 */
import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const FAULTS = 'tests/faults/src/main.ts';
const ADVERSARY = 'tests/adversary/src/main.ts';

const RUNS = [
  [ADVERSARY, 'fences'],
  [ADVERSARY, 'fuzz', '--count', '20000'],
  [FAULTS, 'worker-killed', '--runs', '1'],
  [FAULTS, 'proxy-killed', '--runs', '1'],
  [FAULTS, 'twice', '--runs', '15'],
  [FAULTS, 'redis'],
];

const { node, env } = await prepare();
const failed = [];
for (const args of RUNS) {
  const code = await run(node, args, { cwd: root, env });
  // A signal stops the whole run.
  if (code > 128) process.exit(code);
  if (code !== 0) failed.push(args.join(' '));
}
for (const command of failed) console.log(`failed: node ${command}`);
console.log(`${RUNS.length - failed.length} of ${RUNS.length} suites passed`);
process.exitCode = failed.length > 0 ? 1 : 0;
