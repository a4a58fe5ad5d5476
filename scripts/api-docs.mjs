/**
 * `npm run api-docs [-- --emit none]` writes pages for the public interface of `@ephemera/client` and
 * `@ephemera/embed` to .ephemera/api-docs. It fails if an export has no description, or a link leads
 * nowhere; with `--emit none` it only checks.
 */
import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';

const { node, env } = await prepare();
const typedoc = [
  'node_modules/typedoc/bin/typedoc',
  '--options',
  'scripts/api-docs/typedoc.config.mjs',
];
process.exitCode = await run(node, [...typedoc, ...process.argv.slice(2)], { cwd: root, env });
