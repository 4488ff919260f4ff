import { writeSync } from 'node:fs';
import { relative } from 'node:path';

const REASON = /\(skipped: (.*)\)/s;
const NOT_RUN = new Set(['pending', 'skipped', 'disabled', 'todo']);

/** Names what did not run and why, and closes with one line that a machine can read. */
export default class ClosingReporter {
  #globalConfig;
  #error;

  constructor(globalConfig) {
    this.#globalConfig = globalConfig;
  }

  onRunComplete(_contexts, results) {
    // A suite that never got to its tests, or broke outside of them, has no failed test to be counted by.
    const broken = results.numRuntimeErrorTestSuites;
    const passed = results.numPassedTests;
    const failed = results.numFailedTests + broken;
    const skipped = results.numPendingTests + results.numTodoTests;
    if (skipped > 0) this.#listSkipped(results);
    if (broken > 0)
      console.log(`\nSuites that broke outside of their tests, each counted as one failed: ${broken}`);
    if (passed + failed === 0) {
      this.#error = new Error('No test was executed.');
      console.log(`\n${this.#error.message}`);
    }
    const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
    // Jest adds its own summary after every reporter that it is given, so only the exit comes later.
    process.once('exit', () => writeSync(1, `\n${line}\n`));
  }

  /** Jest fails the run when a reporter has an error. */
  getLastError() {
    return this.#error;
  }

  #listSkipped(results) {
    if (this.#globalConfig.testNamePattern) {
      console.log(`\nTests outside of the name pattern ${this.#globalConfig.testNamePattern} were skipped.`);
      return;
    }
    console.log('\nSkipped:');
    for (const suite of results.testResults) {
      for (const test of suite.testResults.filter(({ status }) => NOT_RUN.has(status))) {
        const reason =
          REASON.exec(test.fullName)?.[1] ?? (test.status === 'todo' ? 'to do' : 'no reason given');
        const name = [...test.ancestorTitles, test.title].join(' › ').replace(REASON, '').replace(/ +/g, ' ');
        console.log(`  ${relative(this.#globalConfig.rootDir, suite.testFilePath)} › ${name}: ${reason}`);
      }
    }
  }
}
