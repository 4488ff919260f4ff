import memory from 'aedes-persistence';
import { type Outgoing, Unacknowledged } from './unacknowledged.js';
import { Unreleased } from './unreleased.js';

/** Its types do not say that it is a function. */
const createMemory = memory as unknown as () => { readonly asyncPersistence: Persistence };

interface Named {
  readonly id: string;
}

/** A connection, as the broker hands it over. */
export interface SessionClient extends Named {
  /** Whether its session begins and ends with the connection. */
  readonly clean: boolean;
}

interface Subscriber {
  readonly clientId: string;
  readonly topic: string;
}

interface Incoming {
  readonly messageId?: number | undefined;
}

/** What is used of the broker's persistence, beside what the broker does. */
interface Persistence {
  addSubscriptions(client: Named, subscriptions: readonly { readonly topic: string }[]): Promise<void>;
  removeSubscriptions(client: Named, filters: readonly string[]): Promise<void>;
  cleanSubscriptions(client: Named): Promise<void>;
  cleanIncoming(client: Named): Promise<void>;
  incomingStorePacket(client: Named, packet: Incoming): Promise<void>;
  /** These two reject where there is none of this id. */
  incomingGetPacket(client: Named, packet: Incoming): Promise<Incoming>;
  incomingDelPacket(client: Named, packet: Incoming): Promise<void>;
  outgoingEnqueue(subscriber: { readonly clientId: string }, packet: Outgoing): Promise<void>;
  outgoingEnqueueCombi(
    subscribers: readonly Subscriber[],
    packet: Outgoing & { topic: string },
  ): Promise<void>;
  outgoingUpdate(client: Named, packet: Outgoing): Promise<void>;
  outgoingClearMessageId(client: Named, packet: Outgoing): Promise<Outgoing | undefined>;
  outgoingStream(client: Named): AsyncIterable<Outgoing>;
  /** The wills of clients of other brokers that are silent. */
  streamWill(): Iterable<unknown>;
}

/**
 * Sessions in memory: their subscriptions outlive the connection, but nothing is gathered for a client that is away. A
 * device that comes back gets its current delta, which holds all that it missed and is still wanted.
 *
 * A session is one caller's. The broker by itself would keep a filter that was refused, gather what matches it, and give
 * all that a session has to whoever comes next under its client id.
 */
export class Sessions {
  /** For the broker. */
  readonly persistence = createMemory();
  private readonly store = this.persistence.asyncPersistence;
  private readonly unacknowledged: Unacknowledged;
  private readonly unreleased = new Unreleased();
  private readonly granted = new WeakMap<Named, Set<string>>();
  /** By client id, whose the session is; those that ended last are at the end. */
  private readonly owners = new Map<string, string>();

  /**
   * @param maxCount of sessions; beyond it those are forgotten whose clients have been away the longest
   * @param onDropped is told of each message that is not kept for its client any more, which has too many
   */
  constructor(
    private readonly isConnected: (clientId: string) => boolean,
    private readonly maxCount: number,
    onDropped: (clientId: string) => void,
  ) {
    this.unacknowledged = new Unacknowledged(onDropped);
    const { store, unacknowledged, unreleased } = this;
    const add = store.addSubscriptions.bind(store);
    store.addSubscriptions = (client, subscriptions) => {
      const { granted } = this;
      return add(
        client,
        subscriptions.filter(({ topic }) => granted.get(client)?.has(topic) === true),
      );
    };
    store.incomingStorePacket = async ({ id }, { messageId = 0 }) => unreleased.add(id, messageId);
    store.incomingGetPacket = async ({ id }, packet) => {
      if (!unreleased.has(id, packet.messageId ?? 0)) throw new Error('There is no such packet');
      return packet;
    };
    store.incomingDelPacket = async ({ id }, { messageId = 0 }) => {
      if (!unreleased.remove(id, messageId)) throw new Error('There is no such packet');
    };
    store.cleanIncoming = async ({ id }) => unreleased.forget(id);
    store.outgoingEnqueue = async ({ clientId }, packet) => unacknowledged.add(clientId, packet);
    store.outgoingEnqueueCombi = async (subscribers, packet) => {
      const isReserved = packet.topic.startsWith('$');
      for (const { clientId, topic } of subscribers) {
        if (isReserved && /^[+#]/.test(topic)) continue;
        if (this.isConnected(clientId)) unacknowledged.add(clientId, packet);
      }
    };
    store.outgoingUpdate = async ({ id }, packet) => unacknowledged.update(id, packet);
    store.outgoingClearMessageId = async ({ id }, { messageId }) => unacknowledged.remove(id, messageId);
    store.outgoingStream = ({ id }) => unacknowledged.stream(id);
    // There are no other brokers. It would take itself for one that is silent when the machine's clock jumps ahead, and
    // publish the wills of clients that are connected.
    store.streamWill = () => [];
  }

  /**
   * To be awaited before the broker takes up what there is of a session. What is another owner's is gone then.
   *
   * @param owner who connects, with all that it is let in for
   */
  async begin(client: SessionClient, owner: string): Promise<void> {
    const isKept = !client.clean && this.owners.get(client.id) === owner;
    this.owners.delete(client.id);
    if (!isKept) await this.forget(client.id);
    if (!client.clean) this.owners.set(client.id, owner);
  }

  /** The connection is over. */
  end({ id }: SessionClient): void {
    const owner = this.owners.get(id);
    if (owner === undefined) return;
    this.owners.delete(id);
    this.owners.set(id, owner);
    for (const oldest of this.owners.keys()) {
      if (this.owners.size <= this.maxCount) return;
      if (this.isConnected(oldest)) continue;
      this.owners.delete(oldest);
      void this.forget(oldest);
    }
  }

  /** The filters that a client has. */
  filtersOf(client: Named): ReadonlySet<string> {
    return this.granted.get(client) ?? new Set();
  }

  grant(client: Named, filter: string): void {
    const filters = this.granted.get(client);
    if (filters === undefined) this.granted.set(client, new Set([filter]));
    else filters.add(filter);
  }

  /** It may have been granted in the session's earlier life. */
  refuse(client: Named, filter: string): void {
    this.giveUp(client, [filter]);
    void this.store.removeSubscriptions(client, [filter]);
  }

  giveUp(client: Named, filters: readonly string[]): void {
    for (const filter of filters) this.granted.get(client)?.delete(filter);
  }

  /** Whether a publish of QoS 2 was taken already: it is sent again before it was released. */
  hasTaken({ id }: Named, { messageId = 0 }: Incoming): boolean {
    return this.unreleased.has(id, messageId);
  }

  /** Whether a client may have one more of QoS 2 that it has not released. */
  hasRoom({ id }: Named): boolean {
    return this.unreleased.hasRoom(id);
  }

  private async forget(id: string): Promise<void> {
    this.unacknowledged.forget(id);
    await this.store.cleanSubscriptions({ id });
    this.unreleased.forget(id);
  }
}
