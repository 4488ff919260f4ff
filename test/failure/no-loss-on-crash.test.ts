import { afterAll, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWithKafka } from '../support/kafka.js';
import {
  countMessages,
  kafkaClient,
  lagOf,
  prepareCommands,
  produceAll,
  readEvents,
  readOutputs,
  until,
} from '../support/kafka-run.js';
import { brokenPromises } from '../support/promise-checker.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const COMMANDS = 100_000;
const DEVICES = 1_000;
const KILLS = 5;
const LIMIT_MS = 20 * 60_000;

describeWithKafka('no loss, no repeat and no disorder when the service is killed', (brokers) => {
  const folder = temporaryFolder();
  let service: Service | undefined;
  afterAll(async () => {
    await service?.kill();
    folder.remove();
  });

  const settings = (prefix: string) => ({
    KAFKA_BROKERS: brokers,
    TOPIC_PREFIX: prefix,
    KAFKA_GROUP_ID: prefix,
    KAFKA_PARTITION_COUNT: '6',
    // A killed member holds its partitions for so long.
    KAFKA_SESSION_TIMEOUT_MS: '6000',
    DATA_DIR: `${folder.path}/${prefix}`,
    LOG_LEVEL: 'error',
  });

  const start = async (prefix: string): Promise<Service> =>
    (service = await startService({ ...settings(prefix), LOG_LEVEL: 'info' }));

  /** Kills the service when so many accepted outputs stand, and starts it again. */
  async function killAt(prefix: string, outputs: number): Promise<void> {
    const kafka = kafkaClient(brokers);
    const topics = [`${prefix}.update.accepted`];
    await until(`${outputs} outputs`, LIMIT_MS, async () => (await countMessages(kafka, topics)) >= outputs);
    // At no particular point of its work.
    await sleep(Math.random() * 100);
    await service?.kill();
    await start(prefix);
  }

  it(
    `records and answers each of ${COMMANDS} commands once, killed ${KILLS} times on the way`,
    async () => {
      const prefix = `crash-${randomUUID().slice(0, 8)}`;
      const kafka = kafkaClient(brokers);
      const commands = prepareCommands(COMMANDS, DEVICES, 0);
      await start(prefix);
      const producing = produceAll(kafka, `${prefix}.update`, commands);
      for (let kill = 1; kill <= KILLS; kill++) await killAt(prefix, (COMMANDS * kill) / (KILLS + 2));
      await producing;
      await until(
        'the lag to be gone',
        LIMIT_MS,
        async () => (await lagOf(kafka, prefix, `${prefix}.update`)) === 0,
      );
      expect(await service?.stop()).toBe(0);
      const outputs = await readOutputs(kafka, prefix);
      const events = await readEvents(`${folder.path}/${prefix}`);
      expect(brokenPromises(commands, outputs, events).slice(0, 20)).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    `takes no command for one of a topic that was deleted and made anew half-way`,
    async () => {
      const prefix = `anew-${randomUUID().slice(0, 8)}`;
      const topic = `${prefix}.update`;
      const kafka = kafkaClient(brokers);
      const first = prepareCommands(COMMANDS / 2, DEVICES, 0);
      const second = prepareCommands(COMMANDS / 2, DEVICES, COMMANDS / 2);
      await start(prefix);
      const producingFirst = produceAll(kafka, topic, first);
      await killAt(prefix, COMMANDS / 8);
      await killAt(prefix, COMMANDS / 4);
      await producingFirst;
      // What is deleted with the topic before it was read cannot be answered.
      await until('the lag to be gone', LIMIT_MS, async () => (await lagOf(kafka, prefix, topic)) === 0);

      const admin = kafka.admin();
      await admin.connect();
      await admin.deleteTopics({ topics: [topic] });
      await until('the topic to be there again', LIMIT_MS, async () => {
        // Made by the service or here, whoever comes first.
        await admin.createTopics({ topics: [{ topic, numPartitions: 6 }] }).catch(() => false);
        return (await admin.listTopics()).includes(topic);
      });
      await admin.disconnect();

      const producingSecond = retrying(() => produceAll(kafka, topic, second));
      const done = await countMessages(kafka, [`${prefix}.update.accepted`]);
      await killAt(prefix, done + COMMANDS / 8);
      await killAt(prefix, done + COMMANDS / 4);
      await producingSecond;
      await until('the lag to be gone', LIMIT_MS, async () => (await lagOf(kafka, prefix, topic)) === 0);
      expect(await service?.stop()).toBe(0);
      const outputs = await readOutputs(kafka, prefix);
      const events = await readEvents(`${folder.path}/${prefix}`);
      expect(brokenPromises([...first, ...second], outputs, events).slice(0, 20)).toEqual([]);
    },
    LIMIT_MS,
  );
});

/** A producer may meet the topic before its leader is chosen; nothing of it is sent then. */
async function retrying(work: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await work();
      return;
    } catch (error) {
      if (tries === 5) throw error;
      await sleep(500);
    }
  }
}
