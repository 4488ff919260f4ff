import memory from 'aedes-persistence';

/** Its types do not say that it is a function. */
const createMemory = memory as unknown as () => { readonly asyncPersistence: Sessions };

/** What is used of the broker's persistence, beside what the broker does. */
export interface Sessions {
  outgoingEnqueueCombi(subscriptions: readonly Subscriber[], packet: object): Promise<void>;
  /** Rejects where there is none of this id. */
  incomingGetPacket(client: object, packet: object): Promise<object>;
}

interface Subscriber {
  readonly clientId: string;
  /** The filter by which it is to get the packet. */
  readonly topic: string;
}

/**
 * Sessions in memory: their subscriptions outlive the connection, but nothing is gathered for a client that is away. A
 * device that comes back gets its current delta, which holds all that it missed and is still wanted.
 *
 * @param isSubscribed whether the client is connected and has been granted the filter. A session holds those that were
 *   refused as well, and those of who had the client id before
 */
export function createSessions(isSubscribed: (clientId: string, filter: string) => boolean): {
  readonly persistence: unknown;
  readonly sessions: Sessions;
} {
  const persistence = createMemory();
  const sessions = persistence.asyncPersistence;
  const enqueue = sessions.outgoingEnqueueCombi.bind(sessions);
  sessions.outgoingEnqueueCombi = (subscriptions, packet) =>
    enqueue(
      subscriptions.filter(({ clientId, topic }) => isSubscribed(clientId, topic)),
      packet,
    );
  return { persistence, sessions };
}
