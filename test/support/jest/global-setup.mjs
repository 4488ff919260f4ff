import { tsImport } from 'tsx/esm/api';
import { needsSupport } from './needed-servers.mjs';

/**
 * Starts the servers that the suites share and names them to the workers, which inherit this environment. Plain
 * JavaScript, since Jest does not transform an ES module that it loads as its global set-up.
 */
export default async function globalSetup(globalConfig) {
  if (needsSupport(globalConfig, 'kafka.ts')) {
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
  if (needsSupport(globalConfig, 'eventstore.ts')) {
    const { obtainEventStore } = await tsImport('../eventstore-source.ts', import.meta.url);
    const eventStore = await obtainEventStore();
    if (eventStore.kind === 'available') {
      process.env.TEST_EVENTSTORE = eventStore.connectionString;
      globalThis.sharedEventStore = eventStore;
      console.log(`\nEventStoreDB for the tests: from ${eventStore.from}.`);
    } else {
      process.env.TEST_EVENTSTORE_ABSENT = eventStore.reason;
      console.log(`\nNo real EventStoreDB for the tests: ${eventStore.reason}.`);
    }
  }
  if (needsSupport(globalConfig, 'postgres.ts')) {
    const { obtainPostgres } = await tsImport('../postgres-source.ts', import.meta.url);
    const postgres = await obtainPostgres();
    if (postgres.kind === 'available') {
      process.env.TEST_POSTGRES = postgres.url;
      globalThis.sharedPostgres = postgres;
      console.log(`\nPostgreSQL for the tests: from ${postgres.from}.`);
    } else {
      process.env.TEST_POSTGRES_ABSENT = postgres.reason;
      console.log(`\nNo PostgreSQL for the tests: ${postgres.reason}.`);
    }
  }
  // The service under test reads them: a test that wants one sets it for its own service.
  delete process.env.KAFKA_BROKERS;
  delete process.env.EVENTSTORE_CONNECTION_STRING;
  delete process.env.DATABASE_URL;
}
