// node summary.mjs REPORT FAILED_STEPS TEST_EXIT_STATUS
// Prints the last line of a CI run from vitest's JSON report, and exits with the verdict.
import { readFileSync } from 'node:fs';

const [, , path, failedSteps, testStatus] = process.argv;

/** Counts of one report. A file that failed outside any test (import, hook) counts as one failure. */
function count(report) {
  const of = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults) {
    let failedHere = 0;
    for (const { status } of file.assertionResults) {
      if (status === 'passed') of.passed++;
      else if (status === 'failed') failedHere++;
      else of.skipped++; // skipped, pending, todo, disabled
    }
    of.failed += file.status === 'failed' ? Math.max(failedHere, 1) : failedHere;
  }
  return of;
}

let { passed, failed, skipped } = { passed: 0, failed: 0, skipped: 0 };
try {
  ({ passed, failed, skipped } = count(JSON.parse(readFileSync(path, 'utf8'))));
} catch (error) {
  console.error(`no test report: ${error.message}`);
}
// No test ran, or the run failed for a reason that is no test's (an unhandled error, a crash).
if (failed === 0 && (passed === 0 || testStatus !== '0')) failed++;
failed += Number(failedSteps);

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed === 0 ? 0 : 1);
