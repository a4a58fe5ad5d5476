import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const { node, env } = await prepare();
const prepared = await run(node, ['apps/cli/src/prepare-tests.ts'], { cwd: root, env });
const args = ['tests/faults/src/main.ts', ...process.argv.slice(2)];
process.exitCode = prepared === 0 ? await run(node, args, { cwd: root, env }) : prepared;
