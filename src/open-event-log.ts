import { openSqliteEventLog } from './adapters/event-store/sqlite/sqlite-event-log.js';
import { type EventStoreLogger } from './adapters/event-store/eventstoredb/logger.js';
import { type LogSignal } from './adapters/event-store/subscription.js';
import { type EventLog } from './application/ports/event-store.js';
import { type StoreAddress } from './open-event-store.js';

/**
 * A connection of its own to the events, for those who only read them, beside the store that owns them. Apart from
 * `openEventStore`, so that a thread loads the client of EventStoreDB only where it needs it.
 *
 * Rejects as `openEventStore` throws; also where the store has not been made yet.
 *
 * @param grown where the process that owns a file says that it has grown
 */
export async function openEventLog(
  address: StoreAddress,
  logger: EventStoreLogger,
  grown?: LogSignal,
): Promise<EventLog> {
  if (address.kind === 'sqlite') {
    return openSqliteEventLog({ dataDir: address.dataDir, ...(grown === undefined ? {} : { grown }) });
  }
  const { openEventStore } = await import('./open-event-store.js');
  return openEventStore(address, { logger });
}
