import { type Aedes, type Client } from 'aedes';

/** What the broker knows its clients by, beside what its types show. */
interface Registry {
  readonly clients: Readonly<Record<string, Client | undefined>>;
  registerClient(client: Client): void;
  _finishRegisterClient(client: Client): void;
  unregisterClient(client: Client): void;
}

/**
 * Makes the broker have one client under each client id: the one that came last, whenever those before it end.
 *
 * By itself it takes whoever is there under an id off its list when an earlier connection under the id is over, which
 * takes a turn of the event loop where that had subscribed to something. Such a client would stay connected for as long
 * as it likes, beside all that come after it, and nothing would be kept for it that it has not acknowledged.
 */
export function holdOneOfEachId(broker: Aedes): void {
  const registry = broker as unknown as Registry;
  const unregister = registry.unregisterClient.bind(broker);
  registry.registerClient = (client) => {
    // It may have gone while what it had subscribed to before was looked up.
    if (client.closed) return;
    const before = registry.clients[client.id];
    registry._finishRegisterClient(client);
    before?.close();
  };
  registry.unregisterClient = (client) => {
    if (registry.clients[client.id] === client) unregister(client);
  };
}

/** Null: nobody is connected under the id. */
export function clientOf(broker: Aedes, clientId: string): Client | null {
  return (broker as unknown as Registry).clients[clientId] ?? null;
}
