import { randomUUID } from 'node:crypto';
import { describeWithKafka } from '../support/kafka.js';
import { faultyEventStoreDb } from '../support/run-store.js';
import { tellsThePast } from './time-travel.suite.js';

describeWithKafka('the past over REST, on Kafka and EventStoreDB', (brokers) => {
  const name = `past-${randomUUID().slice(0, 8)}`;
  tellsThePast(faultyEventStoreDb, { KAFKA_BROKERS: brokers, TOPIC_PREFIX: name, KAFKA_GROUP_ID: name });
});
