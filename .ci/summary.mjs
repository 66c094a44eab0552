// node summary.mjs FAILED_STEPS REPORT TEST_EXIT_STATUS [REPORT TEST_EXIT_STATUS]…
// Prints the last line of a CI run from vitest's JSON reports, and exits with the verdict.
import { readFileSync } from 'node:fs';

const [, , failedSteps, ...runs] = process.argv;

/** Counts of one report. A file that failed outside any test (import, hook) counts as one failure. */
function count(report) {
  const of = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults) {
    let failedHere = 0;
    for (const { status } of file.assertionResults) {
      if (status === 'passed') of.passed++;
      else if (status === 'failed') failedHere++;
      else if (status !== 'skipped' || !report.filtered) of.skipped++; // skipped, pending, todo, disabled
    }
    of.failed += file.status === 'failed' ? Math.max(failedHere, 1) : failedHere;
  }
  return of;
}

const total = { passed: 0, failed: Number(failedSteps), skipped: 0 };
for (let i = 0; i < runs.length; i += 2) {
  const [path, status] = [runs[i], runs[i + 1]];
  let of = { passed: 0, failed: 0, skipped: 0 };
  try {
    of = count({ ...JSON.parse(readFileSync(path, 'utf8')), filtered: i > 0 }); // but for the first, a part is run on purpose
  } catch (error) {
    console.error(`no test report: ${error.message}`);
  }
  // No test ran, or the run failed for a reason that is no test's (an unhandled error, a crash).
  if (of.failed === 0 && (of.passed === 0 || status !== '0')) of.failed++;
  for (const key of Object.keys(total)) total[key] += of[key];
}
const { passed, failed, skipped } = total;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed === 0 ? 0 : 1);
