import { type Kafka } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EventStoreServer, startEventStoreServer } from './eventstore-server/index.js';
import { RestClient } from './http.js';
import {
  committedOffsets,
  kafkaClient,
  lagOf,
  type PreparedCommand,
  prepareCommands,
  produceAll,
  readEvents,
  readOutputs,
  until,
} from './kafka-run.js';
import { LIMIT_MS } from './kill-run.js';
import { brokenPromises } from './promise-checker.js';
import { runStoreOf } from './run-store.js';
import { sampleOf, type ServiceSample } from './service-sample.js';
import { type KillAt, type Service, startService, temporaryFolder } from './service.js';

const DEVICES = 400;
export const PARTITIONS = 12;
/** A member that gives no sign of life for so long is taken for dead. */
export const SESSION_MS = 6_000;
const PORTION = 100;
const PORTION_MS = 200;
const MAX_WAITING = 3_000;

/** Several instances of the service, one consumer group, on one event store; and a load that does not end. */
export class MembersRun {
  readonly prefix = `members-${randomUUID().slice(0, 8)}`;
  readonly topic = `${this.prefix}.update`;
  readonly kafka: Kafka;
  readonly commands: PreparedCommand[] = [];
  /** Offsets that the group had committed, and that went back. */
  readonly wentBack: string[] = [];
  private readonly members = new Map<string, Service>();
  private readonly folders = new Map<string, ReturnType<typeof temporaryFolder>>();
  private readonly over = new AbortController();
  private readonly committed = new Map<number, number>();
  private isPaused = false;
  private portion: Promise<void> = Promise.resolve();
  private load: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly brokers: string,
    private readonly server: EventStoreServer,
    private readonly settings: Readonly<Record<string, string>>,
  ) {
    this.kafka = kafkaClient(brokers);
  }

  /** @param settings of all members, besides those that make them one group on one event store */
  static async open(
    brokers: string,
    settings: Readonly<Record<string, string>> = { PROJECTIONS: 'off' },
  ): Promise<MembersRun> {
    return new MembersRun(brokers, await startEventStoreServer(), settings);
  }

  /** @param killAt where it stops, or ends, by itself; `program`: of which version it is */
  async join(name: string, killAt?: KillAt, program?: string): Promise<void> {
    const folder = this.folders.get(name) ?? temporaryFolder();
    this.folders.set(name, folder);
    const { environment } = runStoreOf(this.server, folder.path);
    const service = await startService(
      {
        KAFKA_BROKERS: this.brokers,
        TOPIC_PREFIX: this.prefix,
        KAFKA_GROUP_ID: this.prefix,
        KAFKA_PARTITION_COUNT: String(PARTITIONS),
        KAFKA_SESSION_TIMEOUT_MS: String(SESSION_MS),
        // So that each has many units of work, and is met amid one.
        BATCH_MAX_COUNT: '50',
        ...this.settings,
        ...environment,
      },
      killAt,
      program,
    );
    this.members.set(name, service);
  }

  /** In an orderly way. */
  async leave(name: string): Promise<number | null> {
    const code = await this.member(name).stop();
    this.members.delete(name);
    return code;
  }

  async kill(name: string): Promise<void> {
    await this.member(name).kill();
    this.members.delete(name);
  }

  /** Stands still, as a machine does that is paused: others take its partitions, and it does not know. */
  pause(name: string): void {
    process.kill(this.member(name).pid, 'SIGSTOP');
  }

  resume(name: string): void {
    process.kill(this.member(name).pid, 'SIGCONT');
  }

  /** Resolves when the member has stopped itself. */
  async untilStopped(name: string): Promise<void> {
    const { pid } = this.member(name);
    await until(`${name} stands still`, LIMIT_MS, async () =>
      /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
    );
  }

  rest(name: string): RestClient {
    return new RestClient(this.member(name).url);
  }

  sample(name: string): Promise<ServiceSample> {
    return sampleOf(this.rest(name));
  }

  /** The setting by which others find the event store. */
  get store(): Readonly<Record<string, string>> {
    return { EVENTSTORE_CONNECTION_STRING: this.server.connectionString };
  }

  get names(): string[] {
    return [...this.members.keys()];
  }

  /** Begins the load, and to look at what the group commits. */
  begin(): void {
    this.load = Promise.all([this.feed(), this.watch()]);
  }

  /** Resolves when so many more commands are done; of each partition, where all were stuck before. */
  async untilDone(count: number): Promise<void> {
    const from = await this.doneCount();
    await until(
      `${count} more commands are done`,
      LIMIT_MS,
      async () => (await this.doneCount()) >= from + count,
    );
  }

  /** Resolves when nothing waits; nothing more comes meanwhile. */
  async untilAllDone(): Promise<void> {
    this.isPaused = true;
    try {
      await this.portion;
      await until(
        'all is done',
        LIMIT_MS,
        async () => (await lagOf(this.kafka, this.prefix, this.topic)) === 0,
      );
    } finally {
      this.isPaused = false;
    }
  }

  /** Ends the load, stops all members, and holds all that there is then against the promises. */
  async brokenPromises(): Promise<string[]> {
    await this.untilAllDone();
    this.over.abort();
    await this.load;
    const codes = await Promise.all(this.names.map((name) => this.leave(name)));
    const broken = codes.filter((code) => code !== 0).map((code) => `a member ended with code ${code}`);
    const outputs = await readOutputs(this.kafka, this.prefix);
    const events = await readEvents(runStoreOf(this.server, '').open());
    return [
      ...broken,
      ...this.wentBack,
      ...brokenPromises(this.commands, outputs, events, { repeats: 'anywhere' }),
    ];
  }

  async close(): Promise<void> {
    this.over.abort();
    await this.load;
    for (const member of this.members.values()) await member.kill();
    await this.server.stop();
    for (const folder of this.folders.values()) folder.remove();
  }

  private member(name: string): Service {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`${name} is no member`);
    return member;
  }

  private async doneCount(): Promise<number> {
    const committed = await committedOffsets(this.kafka, this.prefix, this.topic);
    return [...committed.values()].reduce((sum, offset) => sum + offset, 0);
  }

  private async feed(): Promise<void> {
    while (!this.over.signal.aborted) {
      this.portion = this.isPaused ? Promise.resolve() : this.feedOnce();
      await this.portion;
      await sleep(PORTION_MS);
    }
  }

  private async feedOnce(): Promise<void> {
    if ((await lagOf(this.kafka, this.prefix, this.topic)) >= MAX_WAITING) return;
    const next = prepareCommands({ count: PORTION, devices: DEVICES, from: this.commands.length });
    this.commands.push(...next);
    await produceAll(this.kafka, this.topic, next);
  }

  private async watch(): Promise<void> {
    while (!this.over.signal.aborted) {
      for (const [partition, offset] of await committedOffsets(this.kafka, this.prefix, this.topic)) {
        const before = this.committed.get(partition) ?? 0;
        if (offset < before)
          this.wentBack.push(`offsets: partition ${partition} went from ${before} to ${offset}`);
        this.committed.set(partition, offset);
      }
      await sleep(100);
    }
  }
}
