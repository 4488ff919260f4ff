import { silentLogger } from '../adapters/event-store/eventstoredb/logger.js';
import { type EventLog } from '../application/ports/event-store.js';
import { readSettings, type Settings } from '../config/settings.js';
import { openEventLog } from '../open-event-log.js';

export interface Place {
  readonly settings: Settings;
  readonly dataDir: string;
}

/** By the settings of the service, and `--data-dir`. Throws `SettingsError`. */
export function readPlace(values: Readonly<Record<string, string | undefined>>): Place {
  const settings = readSettings(process.env);
  return { settings, dataDir: values['data-dir'] ?? settings.DATA_DIR };
}

/** Lends the service's event store for reading. Makes none where there is none. Throws `EventStoreError`. */
export async function withLog<T>(place: Place, work: (log: EventLog) => Promise<T>): Promise<T> {
  const connectionString = place.settings.EVENTSTORE_CONNECTION_STRING?.trim();
  const log = await openEventLog(
    connectionString === undefined
      ? { kind: 'sqlite', dataDir: place.dataDir }
      : { kind: 'eventstoredb', connectionString },
    silentLogger,
  );
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}
