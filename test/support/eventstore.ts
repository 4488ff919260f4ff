import { describe, it } from '@jest/globals';

/**
 * A suite on the real EventStoreDB that all suites of the run share: keep to streams with names of your own. Without
 * one the suite is skipped with the reason in its name, or fails if REQUIRE_EVENTSTORE is 1.
 */
export function describeWithEventStore(name: string, suite: (connectionString: string) => void): void {
  const connectionString = process.env.TEST_EVENTSTORE;
  if (connectionString) {
    describe(name, () => suite(connectionString));
    return;
  }
  const reason = process.env.TEST_EVENTSTORE_ABSENT ?? 'the global set-up looked for no EventStoreDB';
  if (process.env.REQUIRE_EVENTSTORE === '1') {
    describe(name, () => {
      it('has the EventStoreDB that REQUIRE_EVENTSTORE=1 asks for', () => {
        throw new Error(reason);
      });
    });
  } else {
    describe.skip(`${name} (skipped: ${reason})`, () => suite('esdb://127.0.0.1:1?tls=false'));
  }
}
