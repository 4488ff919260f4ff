import { type SnapshotStorage } from '../../../src/adapters/snapshots/memory/memory-snapshots.js';
import { createInProcessBus } from '../../../src/adapters/bus/in-process/in-process-bus.js';
import { createKafkaBus } from '../../../src/adapters/bus/kafka/kafka-bus.js';
import { DeviceLocks } from '../../../src/application/device-locks.js';
import { LedProjections } from '../../../src/application/led-projections.js';
import { Outputs } from '../../../src/application/outputs.js';
import { type Bus, COMMAND_CHANNELS, OUTPUT_CHANNELS } from '../../../src/application/ports/bus.js';
import { type EventStore } from '../../../src/application/ports/event-store.js';
import { type ReadModel } from '../../../src/application/ports/read-model.js';
import { type SnapshotStore } from '../../../src/application/ports/snapshots.js';
import { ProcessCommands, type ProcessOptions } from '../../../src/application/process-commands.js';
import { AnswerGets, ReadReplica } from '../../../src/application/read-replica.js';
import { Replicas } from '../../../src/application/replicas.js';
import { Snapshots } from '../../../src/application/snapshots.js';
import { Actor } from '../kernel/scheduler.js';
import { SimulatedEventStore, storeErrorOf } from './event-store.js';
import { SimulatedLeadership, soleLeader } from './leadership.js';
import { Line, type LineOptions, type Server } from './line.js';
import { StatsObserver } from './observer.js';
import { readModelErrorOf, SimulatedReadModel } from './read-model.js';
import { SimulatedSnapshots } from './snapshots.js';
import { type World } from './world.js';

export const PREFIX = 'state';
export const GROUP = 'replicas';
export const RIVAL_GROUP = 'rivals';

/** The parts that a planted fault may stand in for. */
export interface Parts {
  readonly store: EventStore;
  readonly bus: Bus;
  readonly snapshots: SnapshotStore;
  readonly model: ReadModel;
}

/** One process of the service, put together as the composition root does it, from its start to its end. */
export class Instance {
  readonly actor: Actor;
  bus: Bus | null = null;
  reader: ReadReplica | null = null;
  /** Requests whose callers wait for an answer. */
  asking = 0;
  private readonly closers: (() => Promise<void>)[] = [];

  /**
   * @param disk what the machine keeps when the process dies
   */
  constructor(
    private readonly world: World,
    readonly number: number,
    life: number,
    private readonly disk: SnapshotStorage,
  ) {
    this.actor = new Actor(`i${number}.${life}`);
  }

  /** Begins its work; where it cannot, it ends, and is started again by whoever started it. */
  async start(): Promise<void> {
    const { plan, stats } = this.world;
    const isEmbedded = plan.topology !== 'kafka+eventstoredb';
    const clock = Date.now;
    const observer = new StatsObserver(stats);
    const { store, bus, snapshots: kept, model } = this.world.plant(this.parts(isEmbedded));
    const everyCount = plan.snapshotEveryCount;
    const snapshots = everyCount === null ? undefined : new Snapshots(store, kept, observer, { everyCount });
    const locks = new DeviceLocks();
    const replicas = new Replicas(store, observer, plan.cacheBytes, snapshots);
    const reader = new ReadReplica(replicas, locks, clock);
    const ownTopics = new Set([...COMMAND_CHANNELS, ...OUTPUT_CHANNELS].map((name) => `${PREFIX}.${name}`));
    const outputs = new Outputs({
      source: '/device-state-replica',
      typePrefix: PREFIX,
      mayReplyTo: (topic) => !ownTopics.has(topic),
    });
    const limits = { maxRequestBytes: 128 * 1024, maxStateBytes: plan.maxStateBytes, maxDepth: 6 };
    const options: ProcessOptions = {
      limits,
      unchangedUpdates: plan.unchangedUpdates,
      publishDocuments: plan.publishDocuments,
      stepCount: plan.stepCount,
    };
    const commands = new ProcessCommands({ store, bus, replicas, locks, outputs, clock, observer, options });
    const gets = new AnswerGets({ reader, bus, outputs, clock, observer, limits });
    const projections = new LedProjections({
      store,
      model,
      observer: observer.projections,
      clock,
      options: {
        batchCount: plan.projectBatchCount,
        batchBytes: 1 << 20,
        delayMs: 20,
        cacheBytes: plan.cacheBytes,
      },
      leadership: isEmbedded
        ? soleLeader()
        : new SimulatedLeadership(
            this.world.rights,
            this.world.readModel,
            this.lineTo(this.world.readModel.server, readModelErrorOf),
            this.world.scheduler,
          ),
    });
    await bus.connect();
    if (plan.topology === 'embedded') await this.world.listenTo(bus);
    await bus.consume(
      new Map([
        ['update', (batch) => commands.process(batch)],
        ['delete', (batch) => commands.process(batch)],
        ['get', (batch) => gets.process(batch)],
      ]),
    );
    projections.start();
    this.closers.push(
      () => bus.stop(),
      () => projections.stop(),
      async () => snapshots?.close(),
      () => store.close(),
    );
    this.bus = bus;
    this.reader = reader;
    this.rebuild = () => void projections.rebuild();
  }

  rebuild: () => void = () => undefined;

  /** Ends in good order. */
  async stop(): Promise<void> {
    this.bus = null;
    for (const close of this.closers) await close();
  }

  private parts(isEmbedded: boolean): Parts {
    const { plan, scheduler, storage, readModel, disk } = this.world;
    const storeOptions = { isEmbedded, pageCount: plan.pageCount };
    const store = new SimulatedEventStore(
      storage,
      this.lineTo(storage.server, storeErrorOf),
      scheduler,
      storeOptions,
    );
    const snapshots = new SimulatedSnapshots(
      this.disk,
      this.lineTo(disk, (_, label) => new Error(label)),
    );
    const model = new SimulatedReadModel(readModel, this.lineTo(readModel.server, readModelErrorOf));
    const bounds = { maxBatchCount: plan.maxBatchCount, topicPrefix: PREFIX, requestTimeoutMs: 10_000 };
    const bus =
      plan.topology === 'embedded'
        ? createInProcessBus(bounds)
        : createKafkaBus({
            ...bounds,
            brokers: this.world.kafka.cluster.nodes.map(({ host, port }) => `${host}:${port}`),
            clientId: this.actor.name,
            groupId: plan.hasRivals && this.number === 0 ? RIVAL_GROUP : GROUP,
            partitions: plan.partitionCount,
            publishDocuments: plan.publishDocuments,
            sessionTimeoutMs: plan.sessionTimeoutMs,
            metrics: {
              redelivery: () => stats.count('redeliveries'),
              restart: () => stats.count('consumer restarts'),
            },
          });
    const { stats } = this.world;
    return { store, bus, snapshots, model };
  }

  private lineTo(server: Server, errorOf: LineOptions['errorOf']): Line {
    const { scheduler, faultRandom } = this.world;
    return new Line(scheduler, faultRandom, this.actor, server, { timeoutMs: 3000, errorOf });
  }
}
