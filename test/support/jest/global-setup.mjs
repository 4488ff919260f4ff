import { tsImport } from 'tsx/esm/api';
import { needsKafka } from './needed-servers.mjs';

/**
 * Starts the broker that the suites share and names it to the workers, which inherit this environment. Plain
 * JavaScript, since Jest does not transform an ES module that it loads as its global set-up.
 */
export default async function globalSetup(globalConfig) {
  if (needsKafka(globalConfig)) {
    const { obtainKafka } = await tsImport('../kafka-source.ts', import.meta.url);
    const { whyNoStarter } = await tsImport('../kafka/artifacts.ts', import.meta.url);
    const kafka = await obtainKafka();
    if (kafka.kind === 'available') {
      process.env.TEST_KAFKA_BROKERS = kafka.brokers;
      globalThis.sharedKafka = kafka;
      console.log(`\nKafka for the tests: ${kafka.brokers}, from ${kafka.from}.`);
    } else {
      process.env.TEST_KAFKA_ABSENT = kafka.reason;
      console.log(`\nNo Kafka for the tests: ${kafka.reason}.`);
    }
    process.env.TEST_KAFKA_STARTER_ABSENT = whyNoStarter() ?? '';
  }
  // The service under test reads it: a test that wants it sets it for its own service.
  delete process.env.KAFKA_BROKERS;
}
