import { describe, it } from '@jest/globals';

/**
 * A suite on the Kafka broker that all suites of the run share: keep to topics and groups with names of your
 * own. Without a broker the suite is skipped with the reason in its name, or fails if REQUIRE_KAFKA is 1.
 */
export function describeWithKafka(name: string, suite: (brokers: string) => void): void {
  const brokers = process.env.TEST_KAFKA_BROKERS;
  if (brokers) {
    describe(name, () => suite(brokers));
  } else {
    describeAbsent(name, process.env.TEST_KAFKA_ABSENT, () => suite('127.0.0.1:0'));
  }
}

/**
 * A suite that starts brokers of its own with `startKafkaBroker`, to kill or to configure them. Skipped, or
 * failing if REQUIRE_KAFKA is 1, where Java or Maven is missing.
 */
export function describeWithKafkaStarter(name: string, suite: () => void): void {
  const missing = process.env.TEST_KAFKA_STARTER_ABSENT;
  if (missing) describeAbsent(name, missing, suite);
  else describe(name, suite);
}

function describeAbsent(
  name: string,
  reason = 'the global set-up started no Kafka',
  suite: () => void,
): void {
  if (process.env.REQUIRE_KAFKA === '1') {
    describe(name, () => {
      it('has the Kafka broker that REQUIRE_KAFKA=1 asks for', () => {
        throw new Error(reason);
      });
    });
  } else {
    describe.skip(`${name} (skipped: ${reason})`, suite);
  }
}
