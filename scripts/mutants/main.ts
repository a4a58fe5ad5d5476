/**
 * `npm run mutants [-- AREA …]`: changes the source, one small fault (mutant) at a time, and runs the
 * unit and contract tests that cover it. A mutant that no test notices survives. Exits with 1 if an
 * area has less than 90 % killed.
 *
 * The mutation tester works in a copy of the tree, so that nothing here changes.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AREAS } from './areas.ts';
import type { Part } from './areas.ts';
import { resultsOf, summarize } from './score.ts';
import type { Equivalent, Report, Result } from './score.ts';

const root = join(import.meta.dirname, '../..');
/** Selects the sample. Another seed mutates other lines. */
const SEED = 1;

const print = (text: string) => void process.stdout.write(`${text}\n`);

/** Installs the tester of scripts/mutants/package-lock.json. Its Vitest is that of the workspace. */
function installTester(): string {
  const folder = join(root, '.ephemera/cache/mutants');
  const lockIn = (place: string) => readFileSync(join(place, 'package-lock.json'), 'utf8');
  const isInstalled =
    existsSync(join(folder, 'node_modules/.package-lock.json')) &&
    lockIn(folder) === lockIn(import.meta.dirname);
  if (isInstalled) return folder;
  print('Installing the mutation tester (npm ci) …');
  mkdirSync(folder, { recursive: true });
  for (const name of ['package.json', 'package-lock.json']) {
    cpSync(join(import.meta.dirname, name), join(folder, name));
  }
  const flags = ['--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund'];
  execFileSync('npm', ['ci', ...flags, '--loglevel=error'], { cwd: folder, stdio: 'inherit' });
  return folder;
}

/**
 * Copies the files of the repository. Packages are linked, except those of the workspace: they must be
 * the copied ones.
 */
function copyTree(copy: string): void {
  const listed = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
    cwd: root,
  });
  for (const file of listed.toString().split('\0').filter(Boolean)) {
    // A file that is deleted here, but not yet in the index.
    if (existsSync(join(root, file))) cpSync(join(root, file), join(copy, file));
  }
  const projects = ['apps', 'libs', 'tests'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(parent, name)),
  );
  for (const project of ['.', ...projects]) {
    const [from, to] = [join(root, project, 'node_modules'), join(copy, project, 'node_modules')];
    if (!existsSync(from)) continue;
    mkdirSync(to, { recursive: true });
    for (const name of readdirSync(from)) {
      if (name === '@ephemera') {
        cpSync(join(from, name), join(to, name), { recursive: true, verbatimSymlinks: true });
      } else if (!name.startsWith('.') || name === '.bin') {
        symlinkSync(join(from, name), join(to, name));
      }
    }
  }
}

/** Mutates one part and returns the mutants with their fate. */
async function mutate(copy: string, tester: string, part: Part): Promise<Result[]> {
  const project = join(copy, part.project);
  const vitestConfig = {
    test: { include: part.tests, testTimeout: 30_000, hookTimeout: 60_000 },
  };
  writeFileSync(
    join(project, 'mutants.vitest.config.mjs'),
    `export default ${JSON.stringify(vitestConfig)};\n`,
  );
  writeFileSync(
    join(project, 'mutants.sample.json'),
    JSON.stringify({ seed: SEED, share: part.share ?? 1 }),
  );
  const report = join(project, 'mutants.json');
  rmSync(report, { force: true });
  const options = {
    testRunner: 'vitest',
    plugins: [
      join(tester, 'node_modules/@stryker-mutator/vitest-runner/dist/src/index.js'),
      fileURLToPath(import.meta.resolve('./ignore-mutants.mjs')),
    ],
    ignorers: ['ephemera'],
    vitest: { configFile: 'mutants.vitest.config.mjs', related: false },
    mutate: [...part.mutate, '!**/*.test.ts'],
    // The copy is the sandbox: the packages of the workspace have to be the mutated ones.
    inPlace: true,
    concurrency: 2,
    // Other work on the machine must not look like an endless loop.
    timeoutMS: 20_000,
    timeoutFactor: 3,
    reporters: ['json', 'progress-append-only'],
    jsonReporter: { fileName: report },
    allowEmpty: true,
    allowConsoleColors: false,
  };
  writeFileSync(join(project, 'mutants.config.json'), JSON.stringify(options));
  const stryker = join(tester, 'node_modules/@stryker-mutator/core/bin/stryker.js');
  const child = spawn(process.execPath, [stryker, 'run', 'mutants.config.json'], {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [status] = (await once(child, 'exit')) as [number | null];
  if (status !== 0 || !existsSync(report)) {
    throw new Error(
      `Stryker ended with code ${status ?? 'none'} in ${part.project}. Its output above says why.`,
    );
  }
  return resultsOf(JSON.parse(readFileSync(report, 'utf8')) as Report, part.project);
}

const names = process.argv.slice(2);
const unknown = names.filter((name) => !Object.hasOwn(AREAS, name));
if (unknown.length > 0) {
  print(
    `Unknown area: ${unknown.join(', ')}. Areas: ${Object.keys(AREAS)
      .map((name) => `"${name}"`)
      .join(', ')}.`,
  );
  process.exit(2);
}
const tester = installTester();
const copy = mkdtempSync(join(tmpdir(), 'ephemera-mutants-'));
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
copyTree(copy);

const failures: string[] = [];
const results = new Map<string, Result[]>();
for (const [area, parts] of Object.entries(AREAS)) {
  if (names.length > 0 && !names.includes(area)) continue;
  print(`\n${area}`);
  const found: Result[] = [];
  for (const part of parts) {
    try {
      found.push(...(await mutate(copy, tester, part)));
    } catch (error) {
      // The other areas are still worth their time.
      failures.push(String(error));
    }
  }
  results.set(area, found);
}
const equivalents = JSON.parse(
  readFileSync(join(import.meta.dirname, 'equivalent.json'), 'utf8'),
) as Equivalent[];
const { text, isEnough } = summarize(results, equivalents);
print([text, ...failures].join('\n'));
process.exitCode = isEnough && failures.length === 0 ? 0 : 1;
