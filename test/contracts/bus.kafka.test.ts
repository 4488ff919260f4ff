import { randomUUID } from 'node:crypto';
import { createKafkaBus } from '../../src/adapters/bus/kafka/kafka-bus.js';
import { describeWithKafka } from '../support/kafka.js';
import { busContract } from './bus.contract.js';

describeWithKafka('Apache Kafka', (brokers) => {
  busContract('The Kafka bus', () => {
    const topicPrefix = `contract-${randomUUID()}`;
    return {
      create: (options) =>
        createKafkaBus({
          brokers: brokers.split(','),
          clientId: 'bus-contract',
          groupId: topicPrefix,
          topicPrefix,
          partitions: 2,
          ...options,
        }),
      tooLargeBytes: 1_100_000,
      isDurable: true,
    };
  });
});
