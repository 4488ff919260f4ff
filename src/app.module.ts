import {
  type DynamicModule,
  Inject,
  Injectable,
  Module,
  type OnApplicationShutdown,
  type Provider,
} from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { type Logger } from 'pino';
import { CommandsController } from './adapters/bus/commands.controller.js';
import { createInProcessBus } from './adapters/bus/in-process/in-process-bus.js';
import { ToldBus } from './adapters/bus/told-bus.js';
import { createKafkaBus } from './adapters/bus/kafka/kafka-bus.js';
import { Answers } from './adapters/http/answers.js';
import { ConvergenceController } from './adapters/http/convergence.controller.js';
import { FleetAnswers } from './adapters/http/fleet-answers.js';
import { FleetAsOfController } from './adapters/http/fleet-as-of.controller.js';
import { FleetEventsController } from './adapters/http/fleet-events.controller.js';
import { FleetController } from './adapters/http/fleet.controller.js';
import { PresenceController } from './adapters/http/presence.controller.js';
import { OpsController, REGISTRY } from './adapters/http/ops.controller.js';
import { ProjectionsController } from './adapters/http/projections.controller.js';
import { StateController } from './adapters/http/state.controller.js';
import {
  BUS,
  CLOCK,
  DEVICE_RATES,
  LIMIT_OBSERVER,
  OBSERVER,
  PRESENCE,
  PROJECTIONS,
  READ_MODEL,
  STORE,
} from './adapters/http/tokens.js';
import { ThingsController } from './adapters/http/things.controller.js';
import { TimeTravelController } from './adapters/http/time-travel.controller.js';
import { openSqliteSnapshots } from './adapters/snapshots/sqlite/sqlite-snapshots.js';
import { DeviceLocks } from './application/device-locks.js';
import { Outputs } from './application/outputs.js';
import { type Authenticator } from './application/ports/authenticator.js';
import { type Bus, COMMAND_CHANNELS, OUTPUT_CHANNELS } from './application/ports/bus.js';
import { type EventStore } from './application/ports/event-store.js';
import { type ReadModelQueries } from './application/ports/read-model.js';
import { ProcessCommands, type ProcessOptions } from './application/process-commands.js';
import { type PresenceRecorder } from './application/presence-recorder.js';
import { type ProjectionsControl } from './application/projections.js';
import { AnswerGets, ReadReplica } from './application/read-replica.js';
import { Replicas } from './application/replicas.js';
import { Snapshots } from './application/snapshots.js';
import { TimeTravel } from './application/time-travel.js';
import { type Settings } from './config/settings.js';
import { followingProviders } from './following.js';
import { type Limits } from './limits.js';
import { kafkaConnectionOf } from './kafka-settings.js';
import { Metrics } from './observability/metrics.js';
import { mqttBrokerProviders } from './mqtt-broker.module.js';
import { mqttProviders } from './mqtt.module.js';
import { openEventStore, type StoreAddress } from './open-event-store.js';
import { presenceProviders } from './presence.module.js';
import { READ_SIDE, readSideProviders } from './read-side.module.js';
import { type ReadSide } from './read-side/read-side.js';

const SNAPSHOTS = Symbol('snapshots');

/** Released last, when neither HTTP nor the bus needs it any more. */
@Injectable()
class StoreCloser implements OnApplicationShutdown {
  constructor(
    @Inject(STORE) private readonly store: EventStore,
    @Inject(SNAPSHOTS) private readonly snapshots: Snapshots | null,
    @Inject(READ_SIDE) private readonly readSide: ReadSide | null,
    @Inject(PRESENCE) private readonly presence: PresenceRecorder | null,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.presence?.stop();
    await this.readSide?.stop();
    await this.snapshots?.close();
    await this.store.close();
  }
}

/** Metrics that are read from live objects when they are asked for. */
@Injectable()
class MetricsWiring {
  constructor(
    @Inject(OBSERVER) metrics: Metrics,
    replicas: Replicas,
    @Inject(PROJECTIONS) projections: ProjectionsControl | null,
    @Inject(READ_MODEL) readModel: ReadModelQueries | null,
  ) {
    metrics.watch(replicas);
    if (projections !== null) metrics.projections.watch(() => projections.status());
    if (readModel === null) return;
    metrics.outOfSync.watch(readModel);
    metrics.presence.watch(readModel);
  }
}

@Module({})
class StateHttpModule {}

@Module({})
export class AppModule {
  /**
   * The only place that knows which adapters run.
   *
   * Its providers throw `SettingsError`, `EventStoreError` or `BusError`, in one line that names the variable, where
   * the service cannot start.
   */
  static create(
    settings: Settings,
    logger: Logger,
    metrics: Metrics,
    authenticator: Authenticator | null,
    limits: Limits,
  ): DynamicModule {
    const options: ProcessOptions = {
      limits: {
        maxRequestBytes: settings.MAX_REQUEST_BYTES,
        maxStateBytes: settings.MAX_STATE_BYTES,
        maxDepth: settings.MAX_DEPTH_COUNT,
      },
      unchangedUpdates: settings.UNCHANGED_UPDATES === 'skip' ? 'skip' : 'record',
      publishDocuments: settings.PUBLISH_DOCUMENTS === 'on',
    };
    const clock = Date.now;
    const locks = new DeviceLocks();
    const prefix = settings.TOPIC_PREFIX;
    const address = storeAddressOf(settings);
    const ownTopics = new Set([...COMMAND_CHANNELS, ...OUTPUT_CHANNELS].map((name) => `${prefix}.${name}`));
    const outputs = new Outputs({
      source: '/device-state-replica',
      typePrefix: prefix,
      // A reply to one of the service's own topics would be a command, or pass for an output.
      mayReplyTo: (topic) => !ownTopics.has(topic),
    });

    const providers: Provider[] = [
      { provide: CLOCK, useValue: clock },
      { provide: OBSERVER, useValue: metrics },
      { provide: REGISTRY, useValue: metrics.registry },
      { provide: LIMIT_OBSERVER, useValue: metrics.limits },
      { provide: DEVICE_RATES, useValue: limits.deviceRates },
      {
        provide: STORE,
        useFactory: () => openEventStore(address, { clock, logger }),
      },
      {
        provide: BUS,
        inject: [STORE],
        useFactory: async (store: EventStore) => {
          const bus = new ToldBus(createBus(settings, logger, metrics));
          try {
            await bus.connect();
          } catch (error) {
            await Promise.allSettled([bus.stop(), store.close()]);
            throw error;
          }
          return bus;
        },
      },
      {
        provide: SNAPSHOTS,
        inject: [STORE],
        useFactory: (store: EventStore) => openSnapshots(settings, store, metrics),
      },
      ...readSideProviders(settings, address, logger, metrics, clock),
      ...presenceProviders(settings, metrics, clock),
      {
        provide: Replicas,
        inject: [STORE, SNAPSHOTS],
        useFactory: (store: EventStore, snapshots: Snapshots | null) =>
          new Replicas(store, metrics, settings.CACHE_BYTES, snapshots ?? undefined),
      },
      {
        provide: ReadReplica,
        inject: [Replicas],
        useFactory: (replicas: Replicas) => new ReadReplica(replicas, locks, clock),
      },
      {
        provide: ProcessCommands,
        inject: [STORE, BUS, Replicas],
        useFactory: (store: EventStore, bus: Bus, replicas: Replicas) =>
          new ProcessCommands({ store, bus, replicas, locks, outputs, clock, observer: metrics, options }),
      },
      {
        provide: AnswerGets,
        inject: [ReadReplica, BUS],
        useFactory: (reader: ReadReplica, bus: Bus) =>
          new AnswerGets({ reader, bus, outputs, clock, observer: metrics, limits: options.limits }),
      },
      {
        provide: TimeTravel,
        inject: [STORE, Replicas],
        useFactory: (store: EventStore, replicas: Replicas) => new TimeTravel(store, replicas),
      },
      Answers,
      FleetAnswers,
      ...followingProviders(settings, metrics),
      ...mqttProviders(settings, logger, metrics, authenticator, limits),
      ...mqttBrokerProviders(settings, metrics),
      MetricsWiring,
      StoreCloser,
    ];
    const core: DynamicModule = { module: AppModule, global: true, providers, exports: providers };
    return {
      module: RootModule,
      imports: [
        core,
        TerminusModule.forRoot({ logger: false }),
        { module: StateHttpModule, controllers: [StateController, TimeTravelController, PresenceController] },
        RouterModule.register([{ path: prefix, module: StateHttpModule }]),
      ],
      controllers: [
        CommandsController,
        OpsController,
        FleetAsOfController,
        FleetEventsController,
        FleetController,
        ConvergenceController,
        ProjectionsController,
        ...(settings.AWS_SHADOW_TOPICS === 'on' ? [ThingsController] : []),
      ],
    };
  }
}

@Module({})
class RootModule {}

/** Null: without snapshots, as was asked for, or since their file cannot be used, which costs time alone. */
function openSnapshots(settings: Settings, store: EventStore, metrics: Metrics): Snapshots | null {
  const everyCount = settings.SNAPSHOT_EVERY_COUNT;
  if (everyCount === 0) return null;
  try {
    return new Snapshots(store, openSqliteSnapshots(settings.DATA_DIR), metrics, { everyCount });
  } catch (error) {
    metrics.snapshotFailed('open', error);
    return null;
  }
}

function storeAddressOf(settings: Settings): StoreAddress {
  const connectionString = settings.EVENTSTORE_CONNECTION_STRING;
  return connectionString === undefined
    ? { kind: 'sqlite', dataDir: settings.DATA_DIR }
    : { kind: 'eventstoredb', connectionString };
}

function createBus(settings: Settings, logger: Logger, metrics: Metrics): Bus {
  const bounds = { maxBatchCount: settings.BATCH_MAX_COUNT, maxBatchBytes: settings.BATCH_MAX_BYTES };
  const common = {
    ...bounds,
    topicPrefix: settings.TOPIC_PREFIX,
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    shutdownMs: settings.SHUTDOWN_TIMEOUT_MS,
    logger,
  };
  const { KAFKA_BROKERS } = settings;
  if (KAFKA_BROKERS === undefined) {
    // What comes is bounded at the edges, each of which may have so much on its way.
    const maxQueueBytes = 2 * settings.MAX_IN_FLIGHT_BYTES;
    return createInProcessBus({ ...common, maxQueueBytes, maxQueueCount: maxQueueBytes / 1024 });
  }
  return createKafkaBus({
    ...common,
    ...kafkaConnectionOf({ ...settings, KAFKA_BROKERS }),
    groupId: settings.KAFKA_GROUP_ID,
    partitions: settings.KAFKA_PARTITION_COUNT,
    replicationFactor: settings.KAFKA_REPLICATION_COUNT,
    publishDocuments: settings.PUBLISH_DOCUMENTS === 'on',
    // Documents hold a state twice, and each of its leaves, of two bytes at least, has a time of 28.
    maxOutputBytes: 32 * settings.MAX_STATE_BYTES + 64 * 1024,
    sessionTimeoutMs: settings.KAFKA_SESSION_TIMEOUT_MS,
    metrics: {
      lag: (topic, partition, messages) => metrics.lagging(topic, partition, messages),
      released: (topic, partition) => metrics.released(topic, partition),
      redelivery: (topic, partition) => metrics.redelivering(topic, partition),
      damaged: (topic, partition) => metrics.fetchDamaged(topic, partition),
      restart: () => metrics.consumerRestarted(),
    },
  });
}
