import type { KnipConfig } from 'knip';

const project = ['{src,test}/**/*.ts'];
const vitest = { entry: ['{src,test}/**/*.test.ts'] };

/**
 * `npm run check` fails on unused files, exports and dependencies. All packages are private, so an
 * export in the index of a library must be imported by another package. An export that only tests
 * import is used. Programs that another process starts by path are entries.
 */
const config: KnipConfig = {
  // The type of a parameter or result may be exported beside the function that has it.
  ignoreExportsUsedInFile: { interface: true, type: true },
  // Debian packages.
  ignoreBinaries: [
    'apt-get',
    'awk',
    'docker-registry',
    'ip',
    'iptables',
    'ldd',
    'nsenter',
    'redis-cli',
    'setpriv',
    'setsid',
    'taskset',
    'useradd',
    'userdel',
  ],
  ignoreIssues: {
    // It loads what an install of the apps has put into node_modules.
    'scripts/lock-smoke.mjs': ['unlisted'],
    // Generated.
    'libs/client/src/api-types.ts': ['types'],
  },
  workspaces: {
    '.': {
      entry: [
        'scripts/*.{mjs,ts}',
        'scripts/api-docs/typedoc.config.mjs',
        'scripts/publish/main.mjs',
        'scripts/mutants/{main,ignore-mutants,score.test}.{ts,mjs}',
        'vitest.coverage.config.ts',
      ],
      project: ['scripts/**/*.{mjs,ts}', '*.{mjs,ts}'],
      // scripts/check.mjs and scripts/test.mjs start nx, and scripts/project.json the compiler of
      // TypeScript 7.
      ignoreDependencies: ['nx', 'typescript7'],
    },
    'apps/*': {
      entry: ['src/{main,remove-all,build-image,try-image,prepare-tests}.ts'],
      project,
      vitest,
    },
    'libs/*': { project, vitest, includeEntryExports: true },
    // Programs outside of the workspace import it.
    'libs/client': { entry: ['generate-types.ts'], project, vitest, includeEntryExports: false },
    // Applications outside the workspace use what its index exports.
    'libs/embed': { project, vitest },
    'libs/worker': {
      entry: ['test/{responder,ask-udp}.ts'],
      project,
      vitest,
      includeEntryExports: true,
    },
    'tests/*': { project, vitest },
    'tests/adversary': {
      entry: [
        'src/main.ts',
        'src/processes/*.ts',
        'src/slow/echo-instance.ts',
        'src/differential/clients/{browser,node-clients}.ts',
      ],
      project,
      vitest,
    },
    'tests/bench': {
      entry: ['src/{main,start}.ts', 'src/servers/{*-server,hold-routes}.ts'],
      project,
      vitest,
    },
    'tests/e2e': {
      entry: [
        'src/{cluster,examples}/main.ts',
        'src/matrix/{main,inside}.ts',
        'test/screenshots.ts',
        'test/unchecked-worker.ts',
      ],
      project,
      vitest,
    },
    'tests/faults': {
      entry: [
        'src/main.ts',
        'src/processes/*.ts',
        'src/soak/main.ts',
        'src/scenarios/daemon-inside.ts',
      ],
      project,
      vitest,
    },
    'tests/support': { project, vitest, includeEntryExports: true },
  },
};

export default config;
