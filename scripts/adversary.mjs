import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const { node, env } = await prepare();
const prepared = await run(node, ['apps/cli/src/prepare-tests.ts'], { cwd: root, env });
if (prepared !== 0) process.exit(prepared);
const args = ['tests/adversary/src/main.ts', ...process.argv.slice(2)];
process.exitCode = await run(node, args, { cwd: root, env });
