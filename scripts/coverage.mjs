import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

/** Measures the coverage of libs and apps; the report is coverage/index.html. */
const { node, env } = await prepare();
const prepared = await run(node, ['apps/cli/src/prepare-tests.ts'], { cwd: root, env });
if (prepared !== 0) process.exit(prepared);
const args = ['run', '--coverage', '--config', 'vitest.coverage.config.ts'];
process.exitCode = await run('vitest', [...args, ...process.argv.slice(2)], { cwd: root, env });
