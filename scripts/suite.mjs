/** Runs the program of a test suite on the pinned Node: `suite.mjs FILE [ARGUMENTS]`. */
import { withNpm } from './npm-command.mjs';
import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const { node, env } = await prepare();
process.exitCode = await run(node, process.argv.slice(2), { cwd: root, env: withNpm(env) });
