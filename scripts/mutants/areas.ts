/** Files of one project that are mutated together, and the tests that must notice. */
export interface Part {
  /** Folder of the project. */
  readonly project: string;
  /** Files below the project. */
  readonly mutate: readonly string[];
  /** Unit and contract tests below the project. */
  readonly tests: readonly string[];
  /** The share of the lines that are mutated, so that an area has about 100 mutants. Default: 1. */
  readonly share?: number;
}

/** The code that decides what a client may do. Each area has about 100 mutants. */
export const AREAS: Readonly<Record<string, readonly Part[]>> = {
  access: [
    {
      project: 'libs/proxy',
      mutate: ['src/access/*.ts', 'src/starting/signed-link.ts', 'src/launch/authorize-start.ts'],
      tests: [
        ...['src/access/**/*.test.ts', 'src/starting/*.test.ts', 'src/launch/*.test.ts'],
        ...['test/data-plane/guarded.test.ts', 'test/data-plane/failure-cause.test.ts'],
      ],
      share: 0.4,
    },
  ],
  'launch policy': [
    {
      project: 'libs/domain',
      mutate: ['src/policy.ts', 'src/image.ts', 'src/requested-env.ts'],
      tests: ['policy', 'image', 'requested-env'].map((name) => `src/${name}.test.ts`),
      share: 0.4,
    },
    {
      project: 'libs/worker',
      mutate: ['src/docker/container-profile.ts', 'src/start-checks.ts'],
      tests: ['src/docker/container-profile.test.ts', 'src/start-checks.test.ts'],
      share: 0.25,
    },
  ],
  'request checks': [
    {
      project: 'libs/proxy',
      mutate: ['src/data-plane/request-head.ts', 'src/data-plane/header-fields.ts'],
      tests: ['request-checks', 'request-head', 'header-fields'].map(
        (name) => `src/data-plane/${name}.test.ts`,
      ),
      share: 0.1,
    },
    {
      project: 'libs/proxy',
      mutate: ['src/launch/unintended-request.ts', 'src/data-plane/address.ts'],
      tests: ['src/launch/unintended-request.test.ts', 'src/data-plane/address.test.ts'],
      share: 0.25,
    },
  ],
  'tokens and scopes': [
    {
      project: 'libs/http',
      mutate: ['src/token-set.ts', 'src/auth-throttle.ts'],
      tests: ['src/token-set.test.ts', 'src/auth-throttle.test.ts'],
    },
    {
      project: 'libs/config',
      mutate: ['src/signing-keys.ts'],
      tests: ['src/signing-keys.test.ts'],
    },
    {
      project: 'libs/dashboard',
      mutate: ['src/access/session.ts', 'src/access/authenticate.ts'],
      tests: ['test/access.test.ts'],
      share: 0.5,
    },
  ],
  'commands in instances': [
    {
      project: 'libs/proxy',
      mutate: ['src/control-plane/authorize.ts', 'src/control-plane/exec-api.ts'],
      tests: ['src/control-plane/authorize.test.ts', 'test/exec-api.test.ts'],
      share: 0.12,
    },
  ],
  'host connection': [
    {
      project: 'libs/lifecycle',
      mutate: ['src/host-credentials.ts'],
      tests: ['src/host-credentials.test.ts'],
    },
    {
      project: 'libs/worker',
      mutate: ['src/host-interface/admit-request.ts'],
      tests: ['src/host-interface/host-interface.test.ts'],
    },
  ],
  'stable names': [
    {
      project: 'libs/domain',
      mutate: ['src/name.ts'],
      tests: ['src/name.test.ts'],
    },
    {
      project: 'libs/proxy',
      mutate: ['src/data-plane/resolve-name.ts'],
      tests: ['src/data-plane/resolve-name.test.ts'],
    },
    {
      project: 'libs/proxy',
      mutate: ['src/control-plane/names-api.ts'],
      tests: ['test/names-api.test.ts'],
      share: 0.5,
    },
  ],
  'pages for visitors': [
    {
      project: 'libs/proxy',
      mutate: ['src/visitors/own-instances.ts', 'src/visitors/visitor-access.ts'],
      tests: ['src/visitors/own-instances.test.ts', 'src/visitors/visitor-access.test.ts'],
    },
  ],
  rates: [
    {
      project: 'libs/proxy',
      mutate: ['src/starting/count-request.ts', 'src/data-plane/connection-limits.ts'],
      tests: [
        ...['src/starting/count-request.test.ts', 'src/data-plane/connection-limits.test.ts'],
        'test/data-plane/connection-limits.test.ts',
      ],
      share: 0.6,
    },
    {
      project: 'libs/store',
      mutate: ['src/redis-rates.ts'],
      tests: ['src/redis-rates.test.ts'],
    },
  ],
  firewall: [
    {
      project: 'libs/worker',
      mutate: ['src/firewall-rules.ts'],
      tests: ['src/firewall-rules.test.ts', 'src/firewall-script.test.ts'],
    },
  ],
};
