import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const { node, env } = await prepare();
const args = ['tests/bench/src/main.ts', ...process.argv.slice(2)];
process.exitCode = await run(node, args, { cwd: root, env });
