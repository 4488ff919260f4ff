import { type Kafka } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  countMessages,
  kafkaClient,
  lagOf,
  type PreparedCommand,
  readEvents,
  readOutputs,
  until,
} from './kafka-run.js';
import { type Acknowledged, brokenPromises } from './promise-checker.js';
import { type OpenRunStore, type RunStore } from './run-store.js';
import { type KillAt, type Service, startService, temporaryFolder } from './service.js';

/** A bound for what hangs, far above what a slow machine needs. */
export const LIMIT_MS = 6 * 60_000;

/** One run of the service on Kafka and an event store, in topics of its own, in which the service may be killed. */
export class KillRun {
  readonly prefix = `kill-${randomUUID().slice(0, 8)}`;
  readonly topic = `${this.prefix}.update`;
  readonly kafka: Kafka;
  /** Which faults of the store there was no time for; known when the run has been held against the promises. */
  missingFaults: readonly string[] = [];
  private readonly folder = temporaryFolder();
  private current: Service | undefined;
  private openedStore: RunStore | undefined;

  constructor(
    private readonly brokers: string,
    private readonly openStore: OpenRunStore,
    private readonly settings: Readonly<Record<string, string>> = {},
  ) {
    this.kafka = kafkaClient(brokers);
  }

  get service(): Service {
    if (this.current === undefined) throw new Error('the service has not been started');
    return this.current;
  }

  get store(): RunStore {
    if (this.openedStore === undefined) throw new Error('the service has not been started');
    return this.openedStore;
  }

  /** Opens the store where that has not happened, and starts the service. */
  async start(killAt?: KillAt): Promise<void> {
    this.openedStore ??= await this.openStore(this.folder.path);
    const environment = {
      KAFKA_BROKERS: this.brokers,
      TOPIC_PREFIX: this.prefix,
      KAFKA_GROUP_ID: this.prefix,
      KAFKA_PARTITION_COUNT: '6',
      // A killed member holds its partitions for so long.
      KAFKA_SESSION_TIMEOUT_MS: '6000',
      ...this.settings,
      ...this.openedStore.environment,
    };
    this.current = await startService(environment, killAt);
  }

  /**
   * Starts the service, and resolves when it has died where it was to.
   *
   * @param lives called when it says that it is ready, if it comes so far; may go on until the service is gone
   */
  async dieAt(killAt: KillAt, lives: (service: Service) => Promise<void>): Promise<void> {
    try {
      await this.start(killAt);
    } catch (error) {
      // A point may come before it is ready.
      if (!String(error).includes('ended with null')) throw error;
      return;
    }
    const late = setTimeout(() => void this.service.stop(), LIMIT_MS / 4);
    // The answer is not waited for where it dies of the question.
    const failure: unknown = await lives(this.service).catch((error: unknown) => error);
    const code = await this.service.ended;
    clearTimeout(late);
    if (code !== null) {
      const reason = `the service did not come to the point '${killAt.point}': it ended with ${code}`;
      throw new Error(reason, { cause: failure });
    }
  }

  /** How many accepted outputs there are, repeats among them. */
  acceptedCount(): Promise<number> {
    return countMessages(this.kafka, [`${this.topic}.accepted`]);
  }

  async untilAccepted(count: number): Promise<void> {
    await until(`${count} outputs`, LIMIT_MS, async () => (await this.acceptedCount()) >= count);
  }

  /** Kills the service when so many accepted outputs stand, and starts it again. */
  async killAt(count: number): Promise<void> {
    await this.untilAccepted(count);
    // At no particular point of its work.
    await sleep(Math.random() * 100);
    await this.service.kill();
    await this.start();
  }

  /** Commands that are not known to be done; 0 where nothing has been committed yet. */
  async waiting(): Promise<number> {
    const lag = await this.lag();
    return Number.isFinite(lag) ? lag : 0;
  }

  lag(): Promise<number> {
    return lagOf(this.kafka, this.prefix, this.topic);
  }

  /**
   * Waits until all is done, stops the service in an orderly way, ends the store's faults, and holds all that there is
   * then against the promises.
   */
  async brokenPromises(
    commands: readonly PreparedCommand[],
    acknowledged: readonly Acknowledged[] = [],
  ): Promise<string[]> {
    await until('the lag to be gone', LIMIT_MS, async () => (await this.lag()) === 0);
    const code = await this.service.stop();
    this.missingFaults = await this.store.endFaults();
    if (code !== 0) return [`the service ended with code ${code}`];
    const outputs = await readOutputs(this.kafka, this.prefix);
    return brokenPromises(commands, outputs, await readEvents(this.store.open()), { acknowledged });
  }

  async close(): Promise<void> {
    await this.current?.kill();
    await this.openedStore?.close();
    this.folder.remove();
  }
}
