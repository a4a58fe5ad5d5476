import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import { defineConfig } from 'vitest/config';

const TESTS = ['**/src/**/*.test.ts', '**/test/**/*.test.ts', '**/*.test.mjs'];

/** What of a project `npm test -- --quick` runs; all of it where the project is absent. */
const QUICK: Readonly<Record<string, { include?: string[]; exclude?: string[] }>> = {
  // Without what starts containers, browsers or many processes, or waits for failures to be noticed.
  'libs/worker': {
    include: ['src/*.test.ts'],
    exclude: ['src/firewall-rules.test.ts', 'src/job-worker.test.ts'],
  },
  'libs/dashboard': {
    exclude: [
      ...['browser', 'instance-browser', 'instances-browser', 'main', 'redis-unavailable'],
      'templates',
    ].map((name) => `test/${name}.test.ts`),
  },
  'libs/embed': {
    exclude: ['embed', 'example', 'host-connection'].map((name) => `test/${name}.test.ts`),
  },
  // Without the model test, which runs every order of interruptions.
  'libs/lifecycle': { exclude: ['test/model/model.test.ts'] },
  // Without the failures of Redis, its loads and its size.
  'libs/store': {
    exclude: [
      ...['connect-redis', 'dead-peer', 'end-on-disconnect', 'failover', 'redis-bounds'],
      ...['redis-leases', 'redis-loss', 'replication', 'required-replicas', 'slow-redis'],
    ].map((name) => `src/${name}.test.ts`),
  },
  // Of the data plane over sockets, what its callers rely on first.
  'libs/proxy': {
    include: [
      'src/**/*.test.ts',
      ...['fences', 'guarded', 'routing', 'transparency', 'upgrades'].map(
        (name) => `test/data-plane/${name}.test.ts`,
      ),
      ...['cells', 'end-instances', 'legal-requests', 'route-guards'].map(
        (name) => `test/${name}.test.ts`,
      ),
    ],
  },
  'apps/cli': { include: ['src/**/*.test.ts'] },
  'tests/adversary': { include: ['src/**/*.test.ts'] },
  'tests/faults': { exclude: ['test/faults.test.ts'] },
  'tests/compose': { include: ['test/settings.test.ts'] },
  // One file per capability.
  'tests/e2e': {
    include: [
      ...['one-instance', 'lease', 'warm-pool', 'capacity', 'access', 'addressing', 'webhook'],
      ...['pause', 'dead-worker', 'bad-input'],
    ].map((name) => `test/${name}.test.ts`),
  },
  scripts: { exclude: ['boundaries.test.mjs', 'lint-rules.test.mjs', 'suites.test.mjs'] },
};

/**
 * What `npm run test:full` adds to `npm test`: whole deployments, firewalls and registries, containers
 * that use all their resources, loads, faults.
 */
const LONG: Readonly<Record<string, readonly string[]>> = {
  'apps/cli': ['ctrl-c', 'docker-group', 'own-dockerd', 'up'],
  'libs/worker': ['firewall', 'firewall-reassert', 'pull-image', 'redis-cost'],
  'tests/adversary': ['balancers', 'churn', 'early', 'fuzz', 'hogs', 'replicas', 'slow'],
  'tests/compose': ['compose', 'github-preview', 'reproducible-image', 'rights'],
  'tests/e2e': [
    ...['control-plane', 'dashboard', 'examples-command', 'examples-full', 'exec-restart'],
    ...['instance-operations', 'many-instances', 'origins', 'packages', 'readme-template'],
    ...['real-application', 'rebuilt-image', 'redis-fill', 'redis-rights', 'sentinel-faults'],
    ...['reach', 'shutdown', 'try', 'try-nginx', 'two-hosts', 'waiting-page'],
  ],
  'tests/faults': ['faults'],
};

/** The files of a project that a mode selects; without a mode all, so that any can be named. */
function testFiles(project: string, mode: string): { include: string[]; exclude: string[] } {
  const long = (LONG[project] ?? []).map((name) => `test/${name}.test.ts`);
  if (mode === 'long') return { include: long, exclude: [] };
  const quick = mode === 'quick' ? QUICK[project] : undefined;
  const left = mode === 'quick' || mode === 'usual' ? long : [];
  return { include: quick?.include ?? TESTS, exclude: [...(quick?.exclude ?? []), ...left] };
}

/** Their tests have limits of a few hundred milliseconds, or start whole deployments. */
const TIMED = ['libs/proxy', 'libs/store', 'apps/cli'];

/** How many test files run at a time. Two also on two cores, where Vitest runs one: many tests wait. */
const filesAtATime = (project: string) =>
  Math.max(TIMED.includes(project) ? 1 : 2, availableParallelism() - 1);

/** For every project: their test scripts name this file. `--mode=quick|usual|long` selects a part. */
export default defineConfig(({ mode }) => {
  const project = relative(import.meta.dirname, process.cwd());
  const { include, exclude } = testFiles(project, mode);
  return {
    test: {
      include,
      exclude: ['**/node_modules/**', ...exclude],
      maxWorkers: filesAtATime(project),
      reporters: ['default', ['json', { outputFile: 'test-results/vitest.json' }]],
      // A library may have nothing of its own to test; the whole run is refused when nothing ran.
      passWithNoTests: true,
      // Real containers start, real daemons are restarted: these catch what hangs, not what is slow.
      testTimeout: 60_000,
      hookTimeout: 120_000,
    },
  };
});
