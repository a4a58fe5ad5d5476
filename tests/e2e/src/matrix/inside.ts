/**
 * Runs inside a sandbox: starts its Docker Engine, runs the tests against it, and prints a
 * {@link Finding} per line. Ends when its standard input closes.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { promisify } from 'node:util';
import { startOwnEngine } from '@ephemera/test-support';
import { type Finding, PARTS, type Part, type Task } from './parts.ts';

interface Results {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

const workspace = join(import.meta.dirname, '../../../..');
const run = promisify(execFile);
const task = JSON.parse(process.argv[2] ?? '') as Task;
process.stdin.resume().once('end', () => process.exit(1));

const engine = await startOwnEngine({
  folder: task.folder,
  hosts: ['unix:///run/docker.sock'],
  daemon: {
    'cgroup-parent': `/${task.controlGroup}`,
    features: { 'containerd-snapshotter': false },
  },
});
// The images are in an archive, because the engine that has them is outside.
await run('docker', ['load', '--input', join(task.folder, 'images.tar')]);
report({
  kind: 'versions',
  docker: await engine.docker('version', '--format', '{{.Server.Version}}'),
  compose: (await run('docker-compose', ['version', '--short'])).stdout.trim(),
  store: (await run('redis-server', ['--version'])).stdout.trim(),
});
for (const part of task.parts) report(await runPart(part));
await engine.stop();
process.exit();

function report(finding: Finding): void {
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}

async function runPart(part: Part): Promise<Finding> {
  const { project, files } = PARTS[part];
  const started = performance.now();
  const log = `${task.logs}-${part}.log`;
  const outputFile = join(workspace, project, 'test-results/vitest.json');
  await rm(outputFile, { force: true });
  const vitest = join(workspace, 'node_modules/vitest/vitest.mjs');
  const child = spawn(
    process.execPath,
    [
      ...[vitest, 'run', '--config', '../../vitest.config.ts', '--no-file-parallelism'],
      ...files.map((name) => `test/${name}.test.ts`),
    ],
    { cwd: join(workspace, project), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const output = createWriteStream(log);
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  const [code] = (await once(child, 'close')) as [number | null];
  output.end();
  await finished(output);
  const tookMs = Math.round(performance.now() - started);
  const text = await readFile(outputFile, 'utf8').catch(() => undefined);
  const results = text === undefined ? undefined : (JSON.parse(text) as Results);
  const passed = results?.numPassedTests ?? 0;
  const failed = firstFailure(results) ?? (code === 0 && passed > 0 ? undefined : 'no test ran');
  return { kind: 'part', part, passed, failed, tookMs, log };
}

/** The name of the first failed test, or of the file that failed as a whole. */
function firstFailure(results: Results | undefined): string | undefined {
  for (const file of results?.testResults ?? []) {
    const test = file.assertionResults.find(({ status }) => status === 'failed');
    if (test) return test.fullName;
    if (file.status === 'failed')
      return `${file.name.split('/').at(-1)}: ${file.message.split('\n')[0]}`;
  }
  return undefined;
}
