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
}

/**
 * Sessions in memory: their subscriptions outlive the connection, but nothing is gathered for a client that is away. A
 * device that comes back gets its current delta, which holds all that it missed and is still wanted.
 */
export function createSessions(isConnected: (clientId: string) => boolean): {
  readonly persistence: unknown;
  readonly sessions: Sessions;
} {
  const persistence = createMemory();
  const sessions = persistence.asyncPersistence;
  const enqueue = sessions.outgoingEnqueueCombi.bind(sessions);
  sessions.outgoingEnqueueCombi = (subscriptions, packet) =>
    enqueue(
      subscriptions.filter(({ clientId }) => isConnected(clientId)),
      packet,
    );
  return { persistence, sessions };
}
