import { afterAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWithKafka } from '../support/kafka.js';
import { prepareCommands, produceAll, until } from '../support/kafka-run.js';
import { KillRun, LIMIT_MS } from '../support/kill-run.js';
import { type OpenRunStore } from '../support/run-store.js';

/*
 * What must hold when the service is killed, on whichever event store. The faults of the store are let loose all the
 * while, where it has any.
 */

const DEVICES = 1_000;
const KILLS = 5;
const FACTOR = Number(process.env['KILL_COMMANDS'] ?? 1);
/** The first of the broken promises: one cause breaks many. */
const SHOWN = 20;

export interface Scenario {
  /** As the tests' names have it. */
  readonly storeName: string;
  readonly openStore: OpenRunStore;
  /** KILL_COMMANDS multiplies it. */
  readonly commandCount: number;
}

export function survivesKills({ storeName, openStore, commandCount: count }: Scenario): void {
  const commandCount = count * FACTOR;
  describeWithKafka(
    `no loss, no repeat and no disorder when the service on ${storeName} is killed`,
    (brokers) => {
      const run = new KillRun(brokers, openStore);
      afterAll(() => run.close());

      it(
        `records and answers each of ${commandCount} commands once, killed ${KILLS} times on the way`,
        async () => {
          const commands = prepareCommands({ count: commandCount, devices: DEVICES });
          await run.start();
          run.store.beginFaults();
          const producing = produceAll(run.kafka, run.topic, commands);
          for (let kill = 1; kill <= KILLS; kill++) await run.killAt((commandCount * kill) / (KILLS + 2));
          await producing;
          const broken = await run.brokenPromises(commands);
          expect(broken.slice(0, SHOWN)).toEqual([]);
          expect(run.missingFaults).toEqual([]);
        },
        LIMIT_MS,
      );
    },
  );
}

export function survivesTopicMadeAnew({ storeName, openStore, commandCount: count }: Scenario): void {
  const commandCount = count * FACTOR;
  describeWithKafka(`a command topic deleted and made anew under the service on ${storeName}`, (brokers) => {
    const run = new KillRun(brokers, openStore);
    afterAll(() => run.close());

    it(
      `has none of its ${commandCount / 2} commands taken for one of the ${commandCount / 2} before`,
      async () => {
        const half = commandCount / 2;
        const first = prepareCommands({ count: half, devices: DEVICES, mayBeLost: true });
        const waiting = prepareCommands({ count: DEVICES, devices: DEVICES, from: half, mayBeLost: true });
        const second = prepareCommands({ count: half, devices: DEVICES, from: half + DEVICES });
        await run.start();
        run.store.beginFaults();
        // All of them before the topic goes: a producer that tries again must not put them into the next one.
        const producing = produceAll(run.kafka, run.topic, first);
        await run.killAt(half / 4);
        await run.killAt(half / 2);
        await producing;
        await run.untilAccepted((await run.acceptedCount()) + 1);

        await makeAnewAmidWork(run, () => produceAll(run.kafka, run.topic, waiting));

        const done = await run.acceptedCount();
        const producingSecond = produceToNewTopic(run.kafka, run.topic, second);
        await run.killAt(done + half / 4);
        await run.killAt(done + half / 2);
        await producingSecond;
        const broken = await run.brokenPromises([...first, ...waiting, ...second]);
        expect(broken.slice(0, SHOWN)).toEqual([]);
        expect(run.missingFaults).toEqual([]);
      },
      LIMIT_MS,
    );
  });
}

/** While it is deleted the service stands still, amid its work, so that there is something left to be lost. */
async function makeAnewAmidWork(run: KillRun, produceMore: () => Promise<void>): Promise<void> {
  const { pid } = run.service;
  const { topic } = run;
  const admin = run.kafka.admin();
  await admin.connect();
  try {
    process.kill(pid, 'SIGSTOP');
    await produceMore();
    expect(await run.lag()).toBeGreaterThan(0);
    await admin.deleteTopics({ topics: [topic] });
    // Either way has to do: the service finds it gone, and makes it itself, or finds another one in its place.
    const findsItGone = Math.random() < 0.5;
    if (findsItGone) process.kill(pid, 'SIGCONT');
    await until('the topic to be there again', LIMIT_MS, async () => {
      await admin.createTopics({ topics: [{ topic, numPartitions: 6 }] }).catch(() => false);
      return (await admin.listTopics()).includes(topic);
    });
  } finally {
    process.kill(pid, 'SIGCONT');
    await admin.disconnect();
  }
}

export function takesUpHotDevice({ storeName, openStore, commandCount: count }: Scenario): void {
  const commandCount = count * FACTOR;
  describeWithKafka(`a device with a long history, on ${storeName}`, (brokers) => {
    // A batch that takes longer than the session without a sign of life would go round in circles.
    const run = new KillRun(brokers, openStore, { KAFKA_PARTITION_COUNT: '1' });
    afterAll(() => run.close());

    it(
      `is taken up again when the service is killed amid its ${commandCount} commands`,
      async () => {
        const commands = prepareCommands({ count: commandCount, devices: 1 });
        await run.start();
        run.store.beginFaults();
        const producing = produceAll(run.kafka, run.topic, commands);
        await run.killAt(commandCount * 0.8);
        await producing;
        const broken = await run.brokenPromises(commands);
        expect(broken.slice(0, SHOWN)).toEqual([]);
      },
      LIMIT_MS,
    );
  });
}

/** A producer may meet the topic before its leader is chosen; nothing of it is sent then. */
async function produceToNewTopic(...sending: Parameters<typeof produceAll>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await produceAll(...sending);
      return;
    } catch (error) {
      if (tries === 5) throw error;
      await sleep(500);
    }
  }
}
