/**
 * The import rules of the workspace. scripts/boundaries.test.mjs plants a violation of each rule
 * and expects that it is found.
 */

/** Tests, and the apps that consist of tests. */
const TEST = '(\\.test\\.ts$|/test/|^tests/)';
const ENTRY =
  '^(apps/[^/]+/src/(main|remove-all|build-image|try-image|prepare-tests)|libs/embed/src/index)\\.ts$';

/** Product code: neither tests nor code that only tests use. */
const product = (path) => ({ path, pathNot: [TEST] });

/** The libraries that a library may import, in addition to itself. */
const mayImport = {
  lifecycle: ['domain'],
  store: ['domain', 'lifecycle'],
  queue: ['domain', 'lifecycle'],
  contract: ['domain'],
  process: ['domain'],
  config: ['domain', 'process'],
  http: ['domain', 'process', 'config', 'contract'],
  proxy: ['domain', 'lifecycle', 'store', 'queue', 'contract', 'process', 'config', 'http'],
  worker: ['domain', 'lifecycle', 'store', 'queue', 'contract', 'process', 'config'],
  client: [],
  dashboard: ['domain', 'lifecycle', 'store', 'queue', 'contract', 'process', 'config', 'http'],
  embed: ['domain', 'lifecycle', 'contract', 'process', 'config', 'http', 'proxy', 'worker'],
};

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Merge two files that import each other, or move the shared part to a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'domain-imports-nothing',
      comment: 'The domain is pure: it may not even import node: modules.',
      severity: 'error',
      from: product('^libs/domain/'),
      to: { pathNot: '^libs/domain/' },
    },
    {
      name: 'lifecycle-takes-ports',
      comment:
        'Use cases get their dependencies as parameters. Only crypto is allowed, for hashes and random ids.',
      severity: 'error',
      from: product('^libs/lifecycle/'),
      to: { pathNot: ['^libs/lifecycle/', '^libs/domain/', '^crypto$'] },
    },
    ...Object.entries(mayImport).map(([name, others]) => ({
      name: `libraries-point-one-way-${name}`,
      comment: 'Adapters and tools depend on the domain, never on each other.',
      severity: 'error',
      from: product(`^libs/${name}/`),
      to: { path: '^libs/', pathNot: `^libs/(${[name, ...others].join('|')})/` },
    })),
    {
      name: 'client-runs-everywhere',
      comment: 'The client runs in browsers too, which have no node: modules.',
      severity: 'error',
      from: product('^libs/client/'),
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-library-to-app',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^apps/' },
    },
    {
      name: 'no-app-to-app',
      comment: 'Apps communicate through Redis and HTTP.',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'no-test-suite-to-test-suite',
      comment: 'Suites share code through tests/support.',
      severity: 'error',
      from: { path: '^tests/([^/]+)/' },
      to: { path: '^tests/', pathNot: ['^tests/$1/', '^tests/support/'] },
    },
    {
      name: 'libraries-by-their-name',
      comment:
        'The index of a library is its public interface. An import of an inner path would depend on internals.',
      severity: 'error',
      from: { path: '^(apps|libs|tests)/([^/]+)/' },
      to: {
        path: '^(libs|tests)/',
        pathNot: [
          '^$1/$2/',
          '/src/index\\.ts$',
          '^tests/support/src/instances-contract/index\\.ts$',
        ],
      },
    },
    {
      name: 'docker-in-one-folder',
      comment: 'Only one folder calls the Docker daemon, and there every call has a timeout.',
      severity: 'error',
      from: { pathNot: ['^libs/worker/src/docker/', '^libs/worker/test/'] },
      to: { path: 'node_modules/(@types/)?dockerode/' },
    },
    {
      name: 'forwarding-in-one-folder',
      comment: 'The checks against hostile requests are in one folder.',
      severity: 'error',
      from: { pathNot: ['^libs/proxy/(src|test)/data-plane/', '^tests/bench/'] },
      to: { path: 'node_modules/(undici|http-proxy|@types/http-proxy)/' },
    },
    {
      name: 'routes-have-declarations',
      comment: 'Mount a route with mountRoutes, which checks requests against its declaration.',
      severity: 'error',
      // The adapter hands whole subtrees to the data plane and to declared routes.
      from: {
        path: '^(apps|libs)/',
        pathNot: ['^libs/http/', '^libs/embed/src/adapters\\.ts$', '^libs/embed/test/'],
      },
      to: { path: 'node_modules/(@koa/(router|bodyparser)|@types/koa__router|koa-router)/' },
    },
    {
      name: 'no-test-code-in-the-product',
      severity: 'error',
      from: product('^(apps|libs)/'),
      to: { path: [TEST] },
    },
    {
      name: 'no-unlisted-package',
      comment: "A package's own package.json must list its imports; the root's lists tools.",
      severity: 'error',
      from: { path: '^(apps|libs|tests)/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
    {
      name: 'no-dangling-import',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-dead-file',
      comment: 'Every file of the product must be reachable from an entry point.',
      severity: 'error',
      from: { path: ENTRY },
      to: {
        path: '^(apps|libs)/[^/]+/src/',
        pathNot: [TEST, ENTRY],
        reachable: false,
      },
    },
    {
      name: 'no-orphan',
      severity: 'error',
      from: { orphan: true, path: '^(apps|libs)/', pathNot: [TEST, ENTRY] },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Plain scripts under src are sent to browsers unchanged.
    exclude: { path: ['/test-results/', '^(apps|libs|tests)/[^/]+/src/.*\\.js$'] },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
};
