import { writeSync } from 'node:fs';
import { relative } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';

const REASON = /\(skipped: (.*)\)/s;
const NOT_RUN = new Set(['pending', 'skipped', 'disabled', 'todo']);

/** A suite that takes longer is named while it runs, and again after each such time. */
const LONG_MS = 4 * 60_000;

/** Names what did not run and why, and what seems to hang; closes with one line that a machine can read. */
export default class ClosingReporter {
  #globalConfig;
  #error;
  /** Since when each suite runs, by its path; in ms. */
  #running = new Map();
  #watch;

  constructor(globalConfig) {
    this.#globalConfig = globalConfig;
  }

  onRunStart() {
    this.#watch = setInterval(() => {
      for (const [path, since] of this.#running) {
        const seconds = Math.round((Date.now() - since) / 1000);
        const name = relative(this.#globalConfig.rootDir, path);
        if (seconds * 1000 >= LONG_MS) console.log(`Still running after ${seconds} s: ${name}`);
      }
    }, LONG_MS);
    this.#watch.unref();
  }

  onTestFileStart({ path }) {
    this.#running.set(path, Date.now());
  }

  onTestFileResult({ path }) {
    this.#running.delete(path);
  }

  onRunComplete(_contexts, results) {
    clearInterval(this.#watch);
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
