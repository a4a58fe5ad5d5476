import { defineConfig } from 'vitest/config';

/** For every project: their test scripts name this file. */
export default defineConfig({
  test: {
    include: ['**/src/**/*.test.ts', '**/test/**/*.test.ts', '**/*.test.mjs'],
    reporters: ['default', ['json', { outputFile: 'test-results/vitest.json' }]],
    // A library may have nothing of its own to test; the whole run is refused when nothing ran.
    passWithNoTests: true,
    // Real containers start, real daemons are restarted: these catch what hangs, not what is slow.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
