import { createRequire } from 'node:module';
import { unbundle } from '../../../src/adapters/bus/kafka/bundles.js';
import type { ProduceArguments } from '../../../src/adapters/bus/kafka/kafkajs-internals.js';
import { Sockets } from '../../../src/adapters/bus/kafka/sockets.js';
import { type Random } from '../kernel/random.js';
import { type Actor, type Scheduler } from '../kernel/scheduler.js';
import { type FetchRequest, type KafkaCluster, type Node } from './cluster.js';
import { Connection, type Latency, latencyOf, refusedError } from './connection.js';
import { type JoinRequest, type MemberAssignment, type Reply } from './group.js';
import { type ProducedRecord } from './topics.js';

type ProducedTopics = Parameters<KafkaCluster['produce']>[1];

/*
 * Kafka's clients are kafkajs as it is, and the adapter of the service as it is, up to the point where kafkajs would
 * encode a request: there the simulated cluster takes it. So sessions, rebalances, retries, offsets and seeks are those
 * of the real consumer and producer; the bytes on the wire are not in it.
 */

/** kafkajs's class for one node as a client sees it. */
interface Broker {
  readonly nodeId: number | null;
  versions: object | null;
  readonly connectionPool: { readonly host: string; readonly port: number; readonly socketFactory: object };
}

const REQUEST_TIMEOUT_MS = 30_000;
const JOIN_MARGIN_MS = 5_000;

type Lane = 'main' | 'fetch';

/** The lines between the instances of the service and the nodes. */
export class KafkaNetwork {
  readonly connections = new Set<Connection>();
  private readonly ofBroker = new WeakMap<Broker, Map<Lane, Promise<Connection>>>();
  /** The clients that were cut off by their owner: they may not connect again. */
  private readonly cutFactories = new WeakSet<object>();
  private readonly connectionsOf = new WeakMap<object, Set<Connection>>();

  constructor(
    readonly cluster: KafkaCluster,
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    public latency: Latency,
  ) {}

  isConnected(broker: Broker): boolean {
    return (this.ofBroker.get(broker)?.size ?? 0) > 0 && this.openOf(broker) > 0;
  }

  private readonly openCounts = new WeakMap<Broker, Set<Connection>>();

  private openOf(broker: Broker): number {
    let count = 0;
    for (const connection of this.openCounts.get(broker) ?? []) if (connection.isOpen) count++;
    return count;
  }

  async connect(broker: Broker): Promise<void> {
    await this.connection(broker, 'main');
    broker.versions ??= {};
  }

  async disconnect(broker: Broker): Promise<void> {
    const lanes = [...(this.ofBroker.get(broker)?.values() ?? [])];
    this.ofBroker.delete(broker);
    this.openCounts.delete(broker);
    await Promise.all(
      lanes.map(async (lane) => {
        const connection = await lane.catch(() => null);
        await connection?.idle();
        if (connection !== null) this.close(connection);
      }),
    );
  }

  /** Ends all connections of a client at once. */
  cutClient(socketFactory: object): void {
    this.cutFactories.add(socketFactory);
    for (const connection of this.connectionsOf.get(socketFactory) ?? []) {
      connection.cut('closed by the client');
      this.connections.delete(connection);
    }
  }

  async send<T>(
    broker: Broker,
    lane: Lane,
    label: string,
    timeoutMs: number,
    handle: (node: Node, reply: Reply<T>) => void,
  ): Promise<T> {
    const connection = await this.connection(broker, lane);
    try {
      return await connection.send<T>(label, timeoutMs, (reply) => handle(connection.node, reply));
    } catch (error) {
      if ((error as Error).name === 'KafkaJSConnectionClosedError') await this.disconnect(broker);
      throw error;
    }
  }

  private connection(broker: Broker, lane: Lane): Promise<Connection> {
    let lanes = this.ofBroker.get(broker);
    if (lanes === undefined) this.ofBroker.set(broker, (lanes = new Map<Lane, Promise<Connection>>()));
    const known = lanes.get(lane);
    if (known !== undefined) {
      return known.then((connection) => {
        if (connection.isOpen) return connection;
        if (lanes.get(lane) === known) lanes.delete(lane);
        return this.connection(broker, lane);
      });
    }
    const opening = this.open(broker);
    lanes.set(lane, opening);
    opening.catch(() => {
      if (lanes.get(lane) === opening) lanes.delete(lane);
    });
    return opening;
  }

  private async open(broker: Broker): Promise<Connection> {
    const { host, socketFactory } = broker.connectionPool;
    const client = this.scheduler.current;
    const node = this.cluster.nodes.find((each) => each.host === host);
    await new Promise<void>((resolve) => {
      this.scheduler.after(latencyOf(this.random, this.latency), client, '', resolve);
    });
    if (node?.isUp !== true) throw refusedError(broker.connectionPool, 'ECONNREFUSED');
    if (this.cutFactories.has(socketFactory))
      throw refusedError(broker.connectionPool, 'the client was closed');
    const connection = new Connection(this.scheduler, this.random, () => this.latency, client, node);
    this.connections.add(connection);
    listed(this.connectionsOf, socketFactory).add(connection);
    listed(this.openCounts, broker).add(connection);
    return connection;
  }

  private close(connection: Connection): void {
    connection.isOpen = false;
    this.connections.delete(connection);
  }

  /** Breaks the connections of this client, or to this node. */
  cut(which: (connection: Connection) => boolean, why: string): void {
    for (const connection of [...this.connections]) {
      if (!which(connection)) continue;
      connection.cut(why);
      this.connections.delete(connection);
    }
  }

  stall(client: Actor, milliseconds: number): void {
    for (const connection of this.connections) {
      if (connection.client === client) connection.stalledUntilMs = this.scheduler.nowMs + milliseconds;
    }
  }
}

function listed<K extends object, V>(map: WeakMap<K, Set<V>>, key: K): Set<V> {
  let set = map.get(key);
  if (set === undefined) map.set(key, (set = new Set()));
  return set;
}

let network: KafkaNetwork | null = null;

function live(): KafkaNetwork {
  if (network === null) throw new Error('There is no Kafka outside a run');
  return network;
}

/** From here on all clients of this process talk to this cluster. */
export function useNetwork(next: KafkaNetwork | null): void {
  network = next;
}

let isInstalled = false;

/** Puts the simulated cluster behind kafkajs, for this whole process. */
export function installKafka(): void {
  if (isInstalled) return;
  isInstalled = true;
  const { prototype } = createRequire(import.meta.url)('kafkajs/src/broker') as { prototype: Broker };
  const at = <T>(
    broker: Broker,
    label: string,
    handle: (cluster: KafkaCluster, node: Node) => T | { code: number },
  ): Promise<T> => {
    const { cluster } = live();
    return live().send<T>(broker, 'main', label, REQUEST_TIMEOUT_MS, (node, reply) => {
      const result = handle(cluster, node);
      const isCode = typeof result === 'object' && result !== null && 'code' in result;
      reply(isCode ? result : { value: result });
    });
  };
  const coded = (code: number): object => (code === 0 ? {} : { code });
  const methods: ThisType<Broker> & Record<string, unknown> = {
    isConnected() {
      return live().isConnected(this);
    },
    connect() {
      return live().connect(this);
    },
    disconnect() {
      return live().disconnect(this);
    },
    metadata(topics: string[] = []) {
      return at(this, 'Metadata', (cluster) => cluster.metadata(topics));
    },
    findGroupCoordinator({ groupId }: { groupId: string }) {
      return at(this, 'FindCoordinator', (cluster) => {
        const { id, host, port } = cluster.coordinatorOf(groupId);
        return { coordinator: { nodeId: id, host, port } };
      });
    },
    produce(request: ProduceArguments) {
      // The encoder would put the messages in the place of their bundles.
      const { topicData } = unbundle(request);
      return at(this, 'Produce', (cluster, node) => cluster.produce(node, topicData as ProducedTopics));
    },
    listOffsets({ topics }: { topics: Parameters<KafkaCluster['listOffsets']>[1] }) {
      return at(this, 'ListOffsets', (cluster, node) => cluster.listOffsets(node, topics));
    },
    offsetFetch({ groupId, topics }: { groupId: string; topics: Parameters<KafkaCluster['committed']>[1] }) {
      return at(this, 'OffsetFetch', (cluster) => cluster.committed(groupId, topics));
    },
    offsetCommit(request: {
      groupId: string;
      memberId: string;
      groupGenerationId: number;
      topics: Parameters<KafkaCluster['commit']>[3];
    }) {
      const { groupId, memberId, groupGenerationId, topics } = request;
      return at(this, 'OffsetCommit', (cluster) =>
        cluster.commit(groupId, memberId, groupGenerationId, topics),
      );
    },
    heartbeat({
      groupId,
      memberId,
      groupGenerationId,
    }: {
      groupId: string;
      memberId: string;
      groupGenerationId: number;
    }) {
      return at(this, 'Heartbeat', (cluster) =>
        coded(cluster.group(groupId).heartbeat(memberId, groupGenerationId)),
      );
    },
    leaveGroup({ groupId, memberId }: { groupId: string; memberId: string }) {
      return at(this, 'LeaveGroup', (cluster) => coded(cluster.group(groupId).leave(memberId)));
    },
    deleteGroups(groupIds: string[]) {
      return at(this, 'DeleteGroups', (cluster) => {
        for (const id of groupIds) cluster.groups.delete(id);
        return { results: groupIds.map((groupId) => ({ groupId, errorCode: 0 })) };
      });
    },
    joinGroup({ groupId, ...request }: JoinRequest & { groupId: string }) {
      const { cluster } = live();
      const timeoutMs = Math.max(REQUEST_TIMEOUT_MS, request.rebalanceTimeout + JOIN_MARGIN_MS);
      return live().send(this, 'main', 'JoinGroup', timeoutMs, (_, reply: Reply<object>) => {
        cluster.group(groupId).join(request, reply);
      });
    },
    syncGroup(request: {
      groupId: string;
      generationId: number;
      memberId: string;
      groupAssignment: readonly MemberAssignment[];
    }) {
      const { cluster } = live();
      const { groupId, generationId, memberId, groupAssignment } = request;
      return live().send(this, 'main', 'SyncGroup', REQUEST_TIMEOUT_MS, (_, reply: Reply<object>) => {
        cluster.group(groupId).sync(memberId, generationId, groupAssignment, reply);
      });
    },
    fetch(request: FetchRequest) {
      const { cluster } = live();
      const timeoutMs = Math.max(REQUEST_TIMEOUT_MS, request.maxWaitTime + 100);
      return live().send(this, 'fetch', 'Fetch', timeoutMs, (node, reply: Reply<object>) => {
        cluster.fetch(node, request, reply);
      });
    },
  };
  Object.assign(prototype, methods);
  // What kafkajs has under way fails when its sockets are cut.
  Sockets.prototype.cut = function () {
    network?.cutClient(this.open);
  };
}

export type { ProducedRecord };
