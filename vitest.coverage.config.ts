import { defineConfig } from 'vitest/config';

/**
 * For `npm run coverage`: the unit and contract tests of libs and apps, which are the tests below
 * src. The tests in their test folders start whole deployments, whose processes are not measured.
 */
export default defineConfig({
  test: {
    include: [
      'apps/*/src/**/*.test.ts',
      'libs/*/src/**/*.test.ts',
      'tests/support/src/**/*.test.ts',
    ],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    coverage: {
      provider: 'v8',
      include: ['apps/*/src/**/*.ts', 'libs/*/src/**/*.ts'],
      exclude: ['**/*.test.ts'],
      reporter: ['text', 'html', 'lcovonly'],
      reportsDirectory: 'coverage',
      reportOnFailure: true,
    },
  },
});
