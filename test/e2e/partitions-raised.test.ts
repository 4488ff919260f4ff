import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Kafka } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { describeWithKafka } from '../support/kafka.js';
import {
  committedOffsets,
  kafkaClient,
  lagOf,
  prepareCommands,
  produceAll,
  readEvents,
  readOutputs,
  until,
} from '../support/kafka-run.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const LIMIT_MS = 120_000;
const [FEW, MORE] = [3, 7];

describeWithKafka('topics that get more partitions, as docs/operations.md has it', (brokers) => {
  const prefix = `raised-${randomUUID().slice(0, 8)}`;
  const topic = `${prefix}.update`;
  const folder = temporaryFolder();
  let kafka: Kafka;
  let service: Service | undefined;

  const start = (partitionCount: number): Promise<Service> =>
    startService({
      DATA_DIR: folder.path,
      KAFKA_BROKERS: brokers,
      TOPIC_PREFIX: prefix,
      KAFKA_GROUP_ID: prefix,
      KAFKA_PARTITION_COUNT: String(partitionCount),
    });
  const isRead = async (): Promise<boolean> => (await lagOf(kafka, prefix, topic)) === 0;

  beforeAll(() => {
    kafka = kafkaClient(brokers);
  });
  afterAll(async () => {
    await service?.kill();
    folder.remove();
  });

  it(
    'go on with each device where it was, in whichever partition it is now',
    async () => {
      const all = prepareCommands({ count: 1200, devices: 30 });
      service = await start(FEW);
      await produceAll(kafka, topic, all.slice(0, 600));
      await until('the first half is read', LIMIT_MS, isRead);
      expect(await service.stop()).toBe(0);

      const admin = kafka.admin();
      await admin.connect();
      const topics = (await admin.listTopics()).filter(
        (name) => name.startsWith(`${prefix}.`) && !name.endsWith('.replies'),
      );
      await admin.createPartitions({
        topicPartitions: topics.map((name) => ({ topic: name, count: MORE })),
      });
      await admin.disconnect();

      service = await start(MORE);
      await produceAll(kafka, topic, all.slice(600));
      await until('the second half is read', LIMIT_MS, isRead);
      const moved = [...(await committedOffsets(kafka, prefix, topic))].filter(
        ([partition, offset]) => partition >= FEW && offset > 0,
      );
      expect(moved.length).toBeGreaterThan(0);
      expect(await service.stop()).toBe(0);

      const outputs = await readOutputs(kafka, prefix);
      const events = await readEvents(openSqliteEventStore({ dataDir: folder.path }));
      const accepted = all.filter(({ expected }) => expected === 'accepted');
      // Each command is recorded once, in the order of the sender, also across the raise.
      const seen = new Map<string, Set<string>>();
      const versions = new Map<string, number>();
      for (const { deviceId, version, token = '' } of events) {
        const tokens = seen.get(deviceId) ?? new Set();
        seen.set(deviceId, tokens.add(token));
        const before = versions.get(deviceId) ?? 0;
        expect([before, before + 1]).toContain(version);
        versions.set(deviceId, version);
      }
      for (const [deviceId, tokens] of seen) {
        const sent = accepted.filter((command) => command.deviceId === deviceId);
        expect([...tokens]).toEqual(sent.map(({ token }) => token));
        expect(versions.get(deviceId)).toBe(sent.length);
      }
      // And each has its one end.
      for (const channel of ['accepted', 'rejected', 'dead-letter'] as const) {
        expect(outputs.filter((output) => output.channel === channel)).toHaveLength(
          all.filter(({ expected }) => expected === channel).length,
        );
      }
    },
    LIMIT_MS,
  );
});
