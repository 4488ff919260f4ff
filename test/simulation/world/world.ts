import { type SnapshotStorage } from '../../../src/adapters/snapshots/memory/memory-snapshots.js';
import { type Bus, BusError, COMMAND_CHANNELS, OUTPUT_CHANNELS } from '../../../src/application/ports/bus.js';
import { KafkaCluster, NO_BROKER_FAULTS } from '../kafka/cluster.js';
import { type Latency } from '../kafka/connection.js';
import { KafkaNetwork } from '../kafka/network.js';
import { type StoredRecord } from '../kafka/topics.js';
import { Random } from '../kernel/random.js';
import { Actor, Scheduler } from '../kernel/scheduler.js';
import { type Trace } from '../kernel/trace.js';
import { EPOCH_MS } from '../kernel/virtual-time.js';
import { Oracle } from '../oracle/oracle.js';
import { type Command } from '../oracle/sent.js';
import { type Plan } from '../plan.js';
import { CommandSource } from './commands.js';
import { EventStorage } from './event-store.js';
import { GROUP, Instance, type Parts, PREFIX, RIVAL_GROUP } from './instance.js';
import { Rights } from './leadership.js';
import { NO_CALL_FAULTS, Server } from './line.js';
import { Stats } from './observer.js';
import { ReadModelStorage } from './read-model.js';
import { partitionOf } from './partition-of.js';

/** On the machine itself. */
const FAST: Latency = { mean: 0.2, slow: 0 };

const COMMAND_TOPICS = COMMAND_CHANNELS.map((channel) => `${PREFIX}.${channel}`);

/** Everything in one run: the servers that keep what they have, the instances that come and go, and the oracle. */
export class World {
  readonly scheduler: Scheduler;
  readonly faultRandom: Random;
  readonly oracle: Oracle;
  readonly stats = new Stats();
  readonly storage: EventStorage;
  readonly readModel: ReadModelStorage;
  readonly disk = new Server(new Actor('disk'), FAST);
  readonly rights: Rights;
  readonly kafka: KafkaNetwork;
  readonly commands: CommandSource;
  readonly clients = new Actor('clients');
  readonly instances: Instance[] = [];
  private readonly disks: SnapshotStorage[] = [];
  private lives = 0;
  private sent = 0;
  isHealing = false;
  /** The first promise that was broken, or what nobody caught; null: none was. */
  broken: Error | null = null;

  constructor(
    readonly plan: Plan,
    trace: Trace,
    readonly plant: (parts: Parts) => Parts,
  ) {
    const { seed } = plan;
    this.scheduler = new Scheduler(new Random(seed, 2), trace);
    this.faultRandom = new Random(seed, 3);
    this.oracle = new Oracle(plan);
    const latency = plan.topology === 'kafka+eventstoredb' ? plan.storeLatency : FAST;
    const storeServer = new Server(new Actor('store'), latency);
    const rowServer = new Server(new Actor('rows'), latency);
    this.storage = new EventStorage(
      storeServer,
      () => EPOCH_MS + Math.floor(this.scheduler.nowMs),
      {
        recorded: (events) => {
          for (const { stream, revision, id, type } of events) {
            this.scheduler.note(`recorded ${stream}/${revision} ${type} ${id}`);
          }
          this.check(() => this.oracle.recorded(events));
        },
      },
      plan.maxAppendBytes,
    );
    this.readModel = new ReadModelStorage(rowServer, {
      projected: (_, rows) => this.check(() => this.oracle.projected(rows)),
    });
    this.rights = new Rights(this.scheduler);
    storeServer.faults = plan.storeFaults;
    rowServer.faults = plan.readModelFaults;
    this.disk.faults = plan.snapshotFaults;
    const cluster = new KafkaCluster(
      this.scheduler,
      this.faultRandom,
      {
        appended: (topic, partition, record) => this.appended(topic, partition, record),
        committed: (group, memberId, topic, partition, offset, before) => {
          if (!this.groups.includes(group)) return;
          const last = before ?? { offset: 0, memberId };
          this.check(() =>
            this.oracle.committed(topic, partition, offset, last.offset, last.memberId === memberId),
          );
        },
      },
      plan.nodeCount,
      plan.maxFetchCount,
    );
    cluster.faults = plan.brokerFaults;
    for (const topic of [...COMMAND_TOPICS, ...OUTPUT_CHANNELS.map((channel) => `${PREFIX}.${channel}`)]) {
      cluster.makeTopic(topic, plan.partitionCount);
    }
    cluster.makeTopic(`${PREFIX}.replies`, plan.partitionCount);
    this.kafka = new KafkaNetwork(cluster, this.scheduler, this.faultRandom, plan.kafkaLatency);
    this.commands = new CommandSource(new Random(seed, 4), plan, this.oracle);
  }

  private get groups(): readonly string[] {
    return this.plan.hasRivals ? [GROUP, RIVAL_GROUP] : [GROUP];
  }

  /** A broken promise ends the run, wherever in the service it was found. */
  check(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.broken ??= error as Error;
    }
  }

  private appended(topic: string, partition: number, record: StoredRecord): void {
    const { offset, key, value, headers } = record;
    const id = String(headers['correlation-id'] ?? '');
    this.scheduler.note(
      `${topic}[${partition}] ${offset}: ${id} ${value?.toString('utf8', 0, 100) ?? 'null'}`,
    );
    if (COMMAND_TOPICS.includes(topic)) {
      this.check(() => this.oracle.arrived(id, topic, partition, offset));
    } else if (topic !== `${PREFIX}.replies`) {
      this.check(() => this.oracle.told({ channel: topic.slice(PREFIX.length + 1), key, value, headers }));
    }
  }

  living(): Instance[] {
    // Those that are not started yet leave holes.
    return this.instances.filter((instance) => !instance.actor.isDead);
  }

  /** Without Kafka, outputs are what listeners are told. */
  async listenTo(bus: Bus): Promise<void> {
    for (const channel of OUTPUT_CHANNELS) {
      await bus.listen(channel, (message) => {
        this.scheduler.note(`${channel}: ${String(message.value).slice(0, 200)}`);
        this.check(() => this.oracle.told(message));
      });
    }
  }

  startInstance(number: number): void {
    const disk = (this.disks[number] ??= new Map());
    const instance = new Instance(this, number, ++this.lives, disk);
    const { actor } = instance;
    actor.clockSkewMs = this.isHealing
      ? 0
      : Math.round((this.faultRandom.next() - 0.5) * 2 * this.plan.skewMs);
    this.instances[number] = instance;
    this.scheduler.after(0, actor, 'starts', () => {
      instance.start().catch((error: Error) => {
        if (!(error instanceof BusError)) this.broken ??= error;
        this.stats.count('failed starts');
        this.scheduler.note(`cannot start: ${error.message}`, actor);
        this.end(instance);
        this.restartLater(number);
      });
    });
  }

  /** The process is gone: what it had sent may still arrive, nothing else of it is left. */
  crash(instance: Instance): void {
    if (instance.actor.isDead) return;
    this.scheduler.note('crashes', instance.actor);
    this.end(instance);
    this.restartLater(instance.number);
  }

  stop(instance: Instance): void {
    if (instance.actor.isDead || instance.bus === null) return;
    this.scheduler.after(0, instance.actor, 'stops', () => {
      void instance.stop().then(() => {
        this.scheduler.note('has stopped', instance.actor);
        this.end(instance);
        this.restartLater(instance.number);
      });
    });
  }

  private end(instance: Instance): void {
    if (instance.actor.isDead) return;
    instance.actor.isDead = true;
    // Commands that wait in the memory of a process end with it.
    if (this.plan.topology === 'embedded') this.oracle.forgetUnanswered();
    this.kafka.cut(({ client }) => client === instance.actor, 'the process is gone');
    this.rights.lose(instance.actor, 0);
  }

  private restartLater(number: number): void {
    const delay = this.isHealing ? 100 : this.faultRandom.exponential(2000);
    this.scheduler.after(delay, this.scheduler.world, '', () => this.startInstance(number));
  }

  /** One command sets out, as a record of a producer or as a request by REST. */
  send(): void {
    const isRest = this.faultRandom.chance(this.plan.restShare);
    const command = this.commands.next(isRest);
    const id = `c${this.sent++}`;
    const topic = `${PREFIX}.${command.channel}`;
    const partition = partitionOf(command.key, this.plan.partitionCount);
    if (isRest) return this.request(id, command, topic, partition);
    this.oracle.sending(id, command, topic, partition);
    this.kafka.cluster.append(topic, partition, {
      key: command.key,
      value: command.value,
      headers: { ...command.headers, 'correlation-id': id },
    });
  }

  private request(id: string, command: Command, topic: string, partition: number): void {
    const ready = this.living().filter(({ bus }) => bus !== null);
    if (ready.length === 0) return;
    const instance = this.faultRandom.pick(ready);
    // The service's own REST interface names a request that has no name, and so do its commands.
    const named = command.messageId ?? (this.plan.topology === 'embedded' ? undefined : `r-${id}`);
    const headers = {
      ...command.headers,
      'correlation-id': id,
      ...(named === undefined ? {} : { 'message-id': named }),
    };
    const sent = this.oracle.sending(id, { ...command, messageId: named }, topic, partition);
    const { actor } = instance;
    this.scheduler.after(0, actor, `is asked ${id}`, () => {
      if (instance.bus === null) return;
      instance.asking++;
      instance.bus
        .request(command.channel, command.key ?? '', command.value ?? Buffer.alloc(0), headers)
        .then(
          ({ accepted, value }) => this.check(() => this.oracle.replied(sent, accepted, value)),
          (error: BusError) => this.stats.count(`requests: ${error.code}`),
        )
        .finally(() => instance.asking--);
    });
  }

  /** The end of all trouble: what is there must come to its end. */
  heal(): void {
    this.isHealing = true;
    this.scheduler.note('all trouble ends');
    for (const server of [this.storage.server, this.readModel.server, this.disk]) {
      server.faults = NO_CALL_FAULTS;
      server.isAway = false;
      server.latency = FAST;
    }
    this.kafka.latency = FAST;
    const { cluster } = this.kafka;
    cluster.faults = NO_BROKER_FAULTS;
    for (const node of cluster.nodes) node.isUp = true;
    for (const { actor } of this.living()) actor.frozenUntilUs = 0;
  }

  /** What is not quiet, in one line. */
  trouble(): string {
    const behind = this.behind().map(
      ({ group, topic, partition, offset, end }) => `${group} ${topic}[${partition}] ${offset}/${end}`,
    );
    const last = this.storage.kept.log.at(-1)?.position;
    const rows = this.readModel.active?.checkpoint?.position;
    const health = this.instances.map(({ actor, bus }) => `${actor.name} ${bus?.health() ?? 'has no bus'}`);
    return [...behind, `rows ${rows}/${last}`, ...health].join('; ');
  }

  /** True where every command has ended, all of it is committed and projected. */
  isQuiet(): boolean {
    if (this.plan.topology !== 'embedded') {
      if (this.behind().length > 0) return false;
    } else if (this.instances.some(({ actor, asking, bus }) => actor.isDead || bus === null || asking > 0)) {
      return false;
    }
    const last = this.storage.kept.log.at(-1);
    return last === undefined || this.readModel.active?.checkpoint?.position === last.position;
  }

  /** The partitions whose commands are not all processed. */
  private behind(): { group: string; topic: string; partition: number; offset: number; end: number }[] {
    const { cluster } = this.kafka;
    return this.groups.flatMap((group) => {
      const { offsets } = cluster.group(group);
      return COMMAND_TOPICS.flatMap((topic) =>
        (cluster.topics.get(topic)?.partitions ?? []).flatMap(({ partition, records }) => {
          const offset = offsets.get(`${topic}/${partition}`)?.offset ?? 0;
          return offset < records.length ? [{ group, topic, partition, offset, end: records.length }] : [];
        }),
      );
    });
  }
}
