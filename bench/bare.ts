/**
 * The bare program that the service is measured against: kafkajs, stock, that consumes a command and produces two
 * messages with its bytes, commits after they are acknowledged, and does nothing else.
 */
import kafkajs from 'kafkajs';

const { Kafka, logLevel, Partitioners } = kafkajs;
const prefix = process.env['TOPIC_PREFIX'] as string;
const unit = Number(process.env['UNIT'] ?? '500');

const kafka = new Kafka({
  clientId: 'bare',
  brokers: (process.env['KAFKA_BROKERS'] as string).split(','),
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const consumer = kafka.consumer({ groupId: prefix });
await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic: `${prefix}.update`, fromBeginning: true });
consumer.on(consumer.events.GROUP_JOIN, () => process.stdout.write('ready\n'));
await consumer.run({
  autoCommit: false,
  eachBatch: async (payload) => {
    const { topic, partition, messages } = payload.batch;
    // In units, as the service does: brokers refuse a record batch of more than 1 MB.
    for (let start = 0; start < messages.length; start += unit) {
      const part = messages.slice(start, start + unit);
      const outputs = part.map(({ key, value }) => ({ key, value }));
      await producer.sendBatch({
        acks: -1,
        topicMessages: [
          { topic: `${prefix}.update.accepted`, messages: outputs },
          { topic: `${prefix}.update.delta`, messages: outputs },
        ],
      });
      await payload.heartbeat();
    }
    const last = messages.at(-1);
    if (last !== undefined) {
      const offset = (BigInt(last.offset) + 1n).toString();
      await consumer.commitOffsets([{ topic, partition, offset }]);
    }
  },
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void consumer
      .disconnect()
      .then(() => producer.disconnect())
      .then(() => process.exit(0));
  });
}
