/**
 * `npm run build:packages [-- FOLDER] [--dry-run]` builds the packages for npm: one tarball each in
 * FOLDER (default: the current folder). `--dry-run` lists their files and writes nothing.
 */
import { withNpm } from './npm-command.mjs';
import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const { node, env } = await prepare();
const program = ['scripts/publish/main.mjs', ...process.argv.slice(2)];
process.exitCode = await run(node, program, { cwd: root, env: withNpm(env) });
