/** The command `npm run matrix`. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { exitWithUsage, prepareMachine, print, readCommandLine } from '@ephemera/test-support';
import { withTable } from '../page-table.ts';
import { debianSystem, type Suite } from './debian-system.ts';
import { type Finding, PARTS, type Part, STORES, type Task } from './parts.ts';
import { removeLeftovers, type Sandbox, startSandbox, workspace } from './sandbox.ts';
import { COMMAND, fromPage, type Row, table, withResults } from './table.ts';

const SUITES = ['bookworm', 'trixie', 'sid'] as const;
const STORE_NAMES = Object.keys(STORES) as (keyof typeof STORES)[];
const PART_NAMES = Object.keys(PARTS) as Part[];
const PAGE = join(workspace, 'docs/guides/operating.md');
const logs = join(workspace, '.ephemera/logs/matrix');

const { values } = readCommandLine({
  command: 'npm run matrix --',
  summary:
    'Runs the main job, the firewall probes, a part of the fault tests and the compose test with the\n' +
    'versions of Docker, Compose, Redis and Valkey in Debian. Exits with 1 if a test fails. Needs root.\n' +
    'Without options: every engine with redis-bookworm, then every other store with bookworm.',
  options: {
    engines: {
      kind: 'list',
      help: 'Suites of the Docker Engine and of Compose; each runs with every store.',
      of: SUITES,
    },
    stores: { kind: 'list', help: 'Each runs with every engine.', of: STORE_NAMES },
    parts: { kind: 'list', help: 'What to run.', of: PART_NAMES },
    write: {
      kind: 'flag',
      help: `Puts the results into the table of ${relative(workspace, PAGE)}, after each combination.`,
    },
  },
});

interface Combination {
  readonly engine: Suite;
  readonly store: keyof typeof STORES;
  readonly parts: readonly Part[];
}

const engines = values.engines as readonly Suite[];
const stores = values.stores as readonly (keyof typeof STORES)[];
const parts = values.parts.length > 0 ? (values.parts as readonly Part[]) : PART_NAMES;
if (process.getuid?.() !== 0)
  exitWithUsage('npm run matrix needs root, for namespaces and mounts.');

let sandbox: Sandbox | undefined;
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    print(`${signal}: removing what this run has started`);
    interrupted.abort();
    void (sandbox?.stop() ?? removeLeftovers()).finally(() => process.exit(130));
  });
}

prepareMachine();
for (const removed of await removeLeftovers()) print(`removed from an interrupted run: ${removed}`);
await mkdir(logs, { recursive: true });
const rows: Row[] = [];
for (const combination of combinations()) {
  const row = await test(combination);
  rows.push(row);
  if (values.write) await writeToPage(row);
}
print(`\n${table(rows).join('\n')}`);
process.exit(
  rows.every(({ results }) => results.every(({ failed }) => failed === undefined)) ? 0 : 1,
);

function combinations(): Combination[] {
  if (engines.length + stores.length > 0) {
    const chosen = stores.length > 0 ? stores : (['redis-bookworm'] as const);
    return (engines.length > 0 ? engines : (['bookworm'] as const)).flatMap((engine) =>
      chosen.map((store) => ({ engine, store, parts })),
    );
  }
  return whole(parts);
}

/** Every combination, with those of the given parts that depend on it. */
function whole(chosen: readonly Part[]): Combination[] {
  // Firewall and compose file do not depend on the store: the compose file brings its own.
  const withStore = chosen.filter((part) => part === 'main' || part === 'faults');
  const others = STORE_NAMES.filter((store) => store !== 'redis-bookworm');
  return [
    ...SUITES.map((engine) => ({ engine, store: 'redis-bookworm' as const, parts: chosen })),
    ...others.map((store) => ({ engine: 'bookworm' as const, store, parts: withStore })),
  ];
}

function emptyRow({ engine, store, parts: chosen }: Combination): Row {
  const name = `${engine}-${store}`;
  return { name, parts: chosen, docker: engine, compose: engine, store, results: [] };
}

/** Keeps the other results that the table has. */
async function writeToPage(row: Row): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const all = whole(PART_NAMES).map(emptyRow);
  const lines = table(withResults(all, [...fromPage(page, all), row]));
  await writeFile(PAGE, withTable(page, COMMAND, lines));
}

async function test(combination: Combination): Promise<Row> {
  const { engine, store, parts: chosen } = combination;
  const name = `${engine}-${store}`;
  const [storeSuite, storeProgram] = STORES[store];
  const systems = {
    engine: await debianSystem(engine, print, interrupted.signal),
    store: await debianSystem(storeSuite, print, interrupted.signal),
  };
  const started: Sandbox = (sandbox = await startSandbox({ systems, storeProgram }));
  const { folder, controlGroup } = started;
  try {
    const images = ['ephemera/demo', 'ephemera/busybox:local'];
    await promisify(execFile)('docker', ['save', '-o', join(folder, 'images.tar'), ...images]);
    const task: Task = { parts: chosen, folder, controlGroup, logs: join(logs, name) };
    const inside = join(import.meta.dirname, 'inside.ts');
    const row = emptyRow(combination);
    const code = await started.run([process.execPath, inside, JSON.stringify(task)], (line) => {
      const finding = JSON.parse(line) as Finding;
      if (finding.kind === 'versions') Object.assign(row, versionsOf(finding));
      else row.results.push(finding);
      print(describe(name, finding));
    });
    // The handler of the signal exits.
    if (interrupted.signal.aborted) await new Promise(() => undefined);
    if (row.results.length < chosen.length) {
      const failed = `the sandbox ended with code ${code}`;
      const part = chosen[row.results.length] ?? 'main';
      row.results.push({ kind: 'part', part, passed: 0, failed, tookMs: 0, log: '' });
      print(`${name}: ${failed}`);
    }
    return row;
  } finally {
    await started.stop();
    sandbox = undefined;
  }
}

function versionsOf({ docker, compose, store }: Finding & { kind: 'versions' }) {
  // `Redis server v=7.0.15 sha=…`, `Valkey server v=8.1.1 sha=…`
  const [, product = '', version = ''] = /^(\S+) server v=(\S+)/.exec(store) ?? [];
  // Debian adds its own revision: `28.5.2+dfsg4`, `2.40.3-3`.
  const upstream = (text: string) => text.replace(/^v/, '').replace(/[+-].*$/, '');
  return { docker: upstream(docker), compose: upstream(compose), store: `${product} ${version}` };
}

function describe(name: string, finding: Finding): string {
  if (finding.kind === 'versions') {
    const { docker, compose, store } = versionsOf(finding);
    return `\n${name}: Docker ${docker}, Compose ${compose}, ${store}`;
  }
  const { part, passed, failed, tookMs, log } = finding;
  const took = `${Math.round(tookMs / 1000)} s`;
  if (failed === undefined) return `${name}: ${part}: ${passed} tests passed in ${took}`;
  return `${name}: ${part}: failed in ${took}: ${failed}\n  log: ${relative(workspace, log)}`;
}
