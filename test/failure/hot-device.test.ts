import { afterAll, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
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

const COMMANDS = 50_000;
const LIMIT_MS = 10 * 60_000;

describeWithKafka('a device with a long history', (brokers) => {
  const folder = temporaryFolder();
  let service: Service | undefined;
  afterAll(async () => {
    await service?.kill();
    folder.remove();
  });

  it(
    `is taken up again when the service is killed amid its ${COMMANDS} commands`,
    async () => {
      const prefix = `hot-${randomUUID().slice(0, 8)}`;
      const kafka = kafkaClient(brokers);
      const settings = {
        KAFKA_BROKERS: brokers,
        TOPIC_PREFIX: prefix,
        KAFKA_GROUP_ID: prefix,
        KAFKA_PARTITION_COUNT: '1',
        // A batch that takes longer than this without a sign of life would go round in circles.
        KAFKA_SESSION_TIMEOUT_MS: '6000',
        DATA_DIR: folder.path,
      };
      service = await startService(settings);
      const commands = prepareCommands(COMMANDS, 1, 0);
      const producing = produceAll(kafka, `${prefix}.update`, commands);
      const accepted = [`${prefix}.update.accepted`];
      await until(
        'most outputs',
        LIMIT_MS,
        async () => (await countMessages(kafka, accepted)) >= COMMANDS * 0.8,
      );
      await service.kill();
      service = await startService(settings);
      await producing;
      await until(
        'the lag to be gone',
        LIMIT_MS,
        async () => (await lagOf(kafka, prefix, `${prefix}.update`)) === 0,
      );
      expect(await service.stop()).toBe(0);
      const outputs = await readOutputs(kafka, prefix);
      expect(brokenPromises(commands, outputs, await readEvents(folder.path)).slice(0, 20)).toEqual([]);
    },
    LIMIT_MS,
  );
});
