import { type Random } from '../kernel/random.js';
import { Actor, type Scheduler } from '../kernel/scheduler.js';
import { EPOCH_MS } from '../kernel/virtual-time.js';
import { type Committed, ConsumerGroup, ERRORS, type Reply } from './group.js';
import { type PartitionLog, type ProducedRecord, type StoredRecord, Topic } from './topics.js';

/** What may go wrong in a cluster that is up. Each a probability for one request. */
export interface BrokerFaults {
  /** A produce is refused by an error that can be tried again; nothing was written. */
  readonly produceRefused: number;
  /** A produce is written, and the answer says that it took too long. */
  readonly produceUnknown: number;
  readonly commitRefused: number;
}

export const NO_BROKER_FAULTS: BrokerFaults = { produceRefused: 0, produceUnknown: 0, commitRefused: 0 };

/** Told of all that becomes durable in Kafka, at the moment it does. */
export interface KafkaWatcher {
  appended(topic: string, partition: number, record: StoredRecord): void;
  committed(
    group: string,
    memberId: string,
    topic: string,
    partition: number,
    offset: number,
    before: Committed | undefined,
  ): void;
}

export interface FetchRequest {
  readonly maxWaitTime: number;
  readonly topics: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly fetchOffset: string }[];
  }[];
}

export interface FetchedPartition {
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: string;
  readonly lastStableOffset: string;
  readonly abortedTransactions: readonly [];
  readonly messages: readonly object[];
}

/** One node: it takes requests while it is up. */
export class Node {
  readonly host: string;
  readonly port = 9092;
  readonly actor: Actor;
  isUp = true;

  constructor(readonly id: number) {
    this.host = `kafka-${id}`;
    this.actor = new Actor(this.host);
  }
}

/** A Kafka cluster that loses nothing it has acknowledged. Its requests are answered at once, or later where they wait. */
export class KafkaCluster {
  readonly nodes: readonly Node[];
  readonly topics = new Map<string, Topic>();
  readonly groups = new Map<string, ConsumerGroup>();
  faults = NO_BROKER_FAULTS;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly watcher: KafkaWatcher,
    nodeCount: number,
    /** The most records of one partition that a fetch answers with. */
    private readonly maxFetchCount: number,
  ) {
    this.nodes = Array.from({ length: nodeCount }, (_, index) => new Node(index + 1));
  }

  makeTopic(name: string, partitionCount: number): void {
    const id = this.random.uuid().replaceAll('-', '');
    this.topics.set(name, new Topic(name, id, partitionCount, this.nodes.length));
  }

  partition(topic: string, partition: number): PartitionLog | undefined {
    return this.topics.get(topic)?.partitions[partition];
  }

  /** What any producer may do: the record is durable. */
  append(topic: string, partition: number, record: ProducedRecord): StoredRecord {
    const log = this.partition(topic, partition);
    if (log === undefined) throw new Error(`No ${topic}[${partition}]`);
    const stored = log.append(record, EPOCH_MS + Math.floor(this.scheduler.nowMs));
    this.watcher.appended(topic, partition, stored);
    log.wake();
    return stored;
  }

  group(id: string): ConsumerGroup {
    let group = this.groups.get(id);
    if (group === undefined) {
      const node = this.coordinatorOf(id);
      group = new ConsumerGroup(id, this.scheduler, node.actor, this.random.between(50, 1000));
      this.groups.set(id, group);
    }
    return group;
  }

  coordinatorOf(groupId: string): Node {
    let sum = 0;
    for (const char of groupId) sum += char.charCodeAt(0);
    return this.nodes[sum % this.nodes.length] as Node;
  }

  metadata(topics: readonly string[]): object | { code: number } {
    const names = topics.length === 0 ? [...this.topics.keys()] : topics;
    const known = names.map((name) => this.topics.get(name));
    if (known.includes(undefined)) return { code: ERRORS.UNKNOWN_TOPIC_OR_PARTITION };
    return {
      throttleTime: 0,
      brokers: this.nodes.map(({ id, host, port }) => ({ nodeId: id, host, port, rack: null })),
      clusterId: 'simulated',
      controllerId: 1,
      topicMetadata: known.map((topic) => ({
        topicErrorCode: 0,
        topic: topic?.name,
        isInternal: false,
        partitionMetadata: topic?.partitions.map(({ partition, leader }) => ({
          partitionErrorCode: 0,
          partitionId: partition,
          leader,
          replicas: [leader],
          isr: [leader],
          offlineReplicas: [],
          topicId: topic.id,
        })),
      })),
    };
  }

  /** Another node leads the partition from now on, and the one before says so to whoever asks it. */
  moveLeader(log: PartitionLog): void {
    const others = this.nodes.filter(({ id }) => id !== log.leader);
    if (others.length === 0) return;
    log.leader = this.random.pick(others).id;
    this.scheduler.note(`${log.topic}[${log.partition}] is led by ${log.leader}`);
    log.wake();
  }

  /** Each partition is taken or refused by itself. */
  produce(
    node: Node,
    topicData: readonly {
      topic: string;
      partitions: readonly { partition: number; messages: readonly ProducedRecord[] }[];
    }[],
  ): { topics: object[] } | { code: number } {
    if (this.random.chance(this.faults.produceRefused)) return { code: ERRORS.NOT_LEADER_FOR_PARTITION };
    let isLeader = true;
    const topics = topicData.map(({ topic, partitions }) => ({
      topicName: topic,
      partitions: partitions.map(({ partition, messages }) => {
        if (this.partition(topic, partition)?.leader !== node.id) {
          isLeader = false;
          return {};
        }
        const stored = messages.map((message) => this.append(topic, partition, message));
        return { partition, errorCode: 0, baseOffset: String(stored[0]?.offset ?? -1), logAppendTime: '-1' };
      }),
    }));
    if (!isLeader) return { code: ERRORS.NOT_LEADER_FOR_PARTITION };
    if (this.random.chance(this.faults.produceUnknown)) return { code: ERRORS.REQUEST_TIMED_OUT };
    return { topics };
  }

  fetch(node: Node, request: FetchRequest, reply: Reply<{ responses: object[] }>): void {
    const wanted = request.topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, fetchOffset }) => ({
        log: this.partition(topic, partition) as PartitionLog,
        from: Number(fetchOffset),
      })),
    );
    if (wanted.some(({ log, from }) => from < 0 || from > log.records.length)) {
      return reply({ code: ERRORS.OFFSET_OUT_OF_RANGE });
    }
    const answer = (): void => {
      if (wanted.some(({ log }) => log.leader !== node.id))
        return reply({ code: ERRORS.NOT_LEADER_FOR_PARTITION });
      const byTopic = new Map<string, FetchedPartition[]>();
      for (const { log, from } of wanted) {
        const list = byTopic.get(log.topic) ?? [];
        byTopic.set(log.topic, list);
        list.push(this.fetched(log, from));
      }
      const responses = [...byTopic].map(([topicName, partitions]) => ({ topicName, partitions }));
      reply({ value: { responses } });
    };
    if (wanted.some(({ log, from }) => log.records.length > from)) return answer();
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      this.scheduler.cancel(timer);
      for (const { log } of wanted) log.waiters.delete(wake);
      answer();
    };
    // Others may be appended together with it.
    const wake = (): void => void this.scheduler.after(this.random.next(), node.actor, '', end);
    const timer = this.scheduler.after(request.maxWaitTime, node.actor, '', end);
    for (const { log } of wanted) log.waiters.add(wake);
  }

  private fetched(log: PartitionLog, from: number): FetchedPartition {
    const count = this.random.between(1, this.maxFetchCount);
    return {
      partition: log.partition,
      errorCode: 0,
      highWatermark: String(log.records.length),
      lastStableOffset: String(log.records.length),
      abortedTransactions: [],
      messages: log.records.slice(from, from + count).map(({ offset, timestamp, key, value, headers }) => ({
        magicByte: 2,
        attributes: 0,
        isControlRecord: false,
        offset: String(offset),
        timestamp: String(timestamp),
        key,
        value,
        headers,
      })),
    };
  }

  listOffsets(
    node: Node,
    topics: readonly { topic: string; partitions: readonly { partition: number; timestamp?: number }[] }[],
  ): { responses: object[] } | { code: number } {
    const leads = (topic: string, partition: number): boolean =>
      this.partition(topic, partition)?.leader === node.id;
    if (
      !topics.every(({ topic, partitions }) => partitions.every(({ partition }) => leads(topic, partition)))
    )
      return { code: ERRORS.NOT_LEADER_FOR_PARTITION };
    return {
      responses: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition, timestamp }) => ({
          partition,
          errorCode: 0,
          offset: String(timestamp === -2 ? 0 : (this.partition(topic, partition)?.records.length ?? 0)),
        })),
      })),
    };
  }

  commit(
    groupId: string,
    memberId: string,
    generation: number,
    topics: readonly {
      topic: string;
      partitions: readonly { partition: number; offset: string; metadata?: string | null }[];
    }[],
  ): { responses: object[] } | { code: number } {
    const group = this.group(groupId);
    if (this.random.chance(this.faults.commitRefused)) return { code: ERRORS.NOT_COORDINATOR_FOR_GROUP };
    const code = group.mayCommit(memberId, generation);
    if (code !== 0) return { code };
    for (const { topic, partitions } of topics) {
      for (const { partition, offset, metadata } of partitions) {
        const key = `${topic}/${partition}`;
        const before = group.offsets.get(key);
        group.offsets.set(key, { offset: Number(offset), metadata: metadata ?? null, memberId });
        this.scheduler.note(`commits ${topic}[${partition}] ${offset}`);
        this.watcher.committed(groupId, memberId, topic, partition, Number(offset), before);
      }
    }
    return { responses: [] };
  }

  committed(
    groupId: string,
    topics: readonly { topic: string; partitions: readonly { partition: number }[] }[],
  ): {
    responses: object[];
  } {
    const { offsets } = this.group(groupId);
    return {
      responses: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition }) => {
          const committed = offsets.get(`${topic}/${partition}`);
          return {
            partition,
            offset: String(committed?.offset ?? -1),
            metadata: committed?.metadata ?? '',
            errorCode: 0,
          };
        }),
      })),
    };
  }
}
