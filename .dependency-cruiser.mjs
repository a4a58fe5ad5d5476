/**
 * The rooms of the workspace and what may be imported where; scripts/boundaries.test.mjs plants a
 * violation of each rule and expects it to be found.
 */

/** Tests, and the apps that are made of them. */
const TEST = '(\\.test\\.ts$|/test/|^tests/)';
const ENTRY = '^apps/[^/]+/src/(main|remove-all|build-image|prepare-tests)\\.ts$';

/** Product code: neither tests nor what only tests use. */
const product = (path) => ({ path, pathNot: [TEST] });

/** What of the libraries a library may import, beside itself. */
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
  dashboard: ['domain', 'lifecycle', 'store', 'queue', 'contract', 'process', 'config', 'http'],
};

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Two files that need each other are one file, or want a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'domain-imports-nothing',
      comment: 'The rules are pure: not even node: may be imported.',
      severity: 'error',
      from: product('^libs/domain/'),
      to: { pathNot: '^libs/domain/' },
    },
    {
      name: 'lifecycle-takes-ports',
      comment: 'The verbs know the world through their parameters alone; hashes and chance aside.',
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
      name: 'no-library-to-app',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^apps/' },
    },
    {
      name: 'no-app-to-app',
      comment: 'Apps meet in Redis and over HTTP.',
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
      comment: 'What a library shows is in its index; a path into it would bind to the rest.',
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
      comment: 'The daemon is spoken to in one place, where every call has its deadline.',
      severity: 'error',
      from: { pathNot: ['^libs/worker/src/docker/', '^libs/worker/test/'] },
      to: { path: 'node_modules/(@types/)?dockerode/' },
    },
    {
      name: 'forwarding-in-one-folder',
      comment: 'The guards against hostile requests stand on one path.',
      severity: 'error',
      from: { pathNot: ['^libs/proxy/(src|test)/data-plane/', '^tests/bench/'] },
      to: { path: 'node_modules/(undici|http-proxy|@types/http-proxy)/' },
    },
    {
      name: 'routes-have-declarations',
      comment:
        'A route is mounted by mountRoutes, with the declaration that it is checked against.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: '^libs/http/' },
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
      comment:
        "What is imported stands in the package's own package.json, or the root's for tools.",
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
      comment: 'Every file of the product is reached from something that is started.',
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
    // Plain scripts under src are sent to browsers as they are.
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
