/**
 * The plain service that this one is measured against: of the same function, as Nest's documentation has one begin. Nest's
 * own Kafka transport, class-validator on each message, an awaited append, single sends.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientKafka, type KafkaOptions, Transport } from '@nestjs/microservices';
import kafkajs from 'kafkajs';
import { openEventStore } from '../../src/open-event-store.js';
import { CLIENT, STORE, UpdatesController } from './updates.controller.js';

const client: NonNullable<KafkaOptions['options']>['client'] = {
  clientId: 'plain',
  brokers: (process.env['KAFKA_BROKERS'] as string).split(','),
  logLevel: kafkajs.logLevel.ERROR,
};
const producer = { createPartitioner: kafkajs.Partitioners.DefaultPartitioner };

@Module({
  controllers: [UpdatesController],
  providers: [
    {
      provide: STORE,
      useFactory: () => openEventStore({ kind: 'sqlite', dataDir: process.env['DATA_DIR'] as string }),
    },
    {
      provide: CLIENT,
      useFactory: async () => {
        const kafka = new ClientKafka({ client, producer, producerOnlyMode: true });
        await kafka.connect();
        return kafka;
      },
    },
  ],
})
class PlainModule {}

const app = await NestFactory.createMicroservice<KafkaOptions>(PlainModule, {
  transport: Transport.KAFKA,
  logger: ['error', 'fatal'],
  options: {
    client,
    producer,
    consumer: { groupId: process.env['TOPIC_PREFIX'] as string },
    subscribe: { fromBeginning: true },
  },
});
await app.listen();
process.stdout.write('ready\n');
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void app.close().then(() => process.exit(0));
  });
}
