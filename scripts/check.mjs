import { withNpm } from './npm-command.mjs';
import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const checks = [
  'types',
  'lint',
  'format',
  'boundaries',
  'packages',
  'licences',
  'reference',
  'openapi',
  'api-docs',
  'publishable',
  'unused',
  'vocabulary',
  'commits',
];

const { env } = await prepare();
const nxEnv = { ...withNpm(env), NX_DAEMON: 'false', NX_TUI: 'false' };
const nx = ['run-many', '-t', ...checks, '--parallel=2', '--output-style=stream'];
process.exitCode = await run('nx', [...nx, ...process.argv.slice(2)], { cwd: root, env: nxEnv });
