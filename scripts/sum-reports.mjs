import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

/** The path of Vitest's report. Nx restores it when it answers from its cache. */
const reportFile = 'test-results/vitest.json';

/** Removes the reports of earlier runs, so that a project that crashes does not show an old one. */
export function forgetReports(projects) {
  for (const project of projects) rmSync(join(project, reportFile), { force: true });
}

/** Adds up the reports of the projects. */
export function sumReports(projects) {
  const sums = { passed: 0, failed: 0, skipped: 0, faults: [] };
  for (const project of projects) {
    const file = join(project, reportFile);
    if (existsSync(file)) add(sums, basename(project), JSON.parse(readFileSync(file, 'utf8')));
  }
  return sums;
}

/**
 * @param report Vitest's JSON report. A file that fails before its tests are collected (a broken
 * import, a failed hook) contains no failed test, but counts as one.
 */
export function add(sums, project, report) {
  sums.passed += report.numPassedTests;
  sums.skipped += report.numPendingTests + report.numTodoTests;
  for (const file of report.testResults) {
    const failed = file.assertionResults.filter(({ status }) => status === 'failed');
    const names = failed.map(({ fullName }) => fullName);
    if (file.status === 'failed' && names.length === 0) names.push(file.message || file.name);
    sums.failed += names.length;
    sums.faults.push(...names.map((name) => `${project}: ${name}`));
  }
}
