import {
  type EventStore,
  type RecordedEvent,
  type ReadStreamOptions,
} from '../../src/application/ports/event-store.js';

/** Counts the events that are read from an event store's streams. */
export class CountingEventStore implements EventStore {
  eventsRead = 0;
  readonly append: EventStore['append'];
  readonly readAll: EventStore['readAll'];
  readonly subscribe: EventStore['subscribe'];
  readonly health: EventStore['health'];
  readonly close: EventStore['close'];

  constructor(private readonly inner: EventStore) {
    this.append = (appends) => inner.append(appends);
    this.readAll = (options) => inner.readAll(options);
    this.subscribe = (options) => inner.subscribe(options);
    this.health = () => inner.health();
    this.close = () => inner.close();
  }

  async *readStream(stream: string, options?: ReadStreamOptions): AsyncGenerator<RecordedEvent> {
    for await (const event of this.inner.readStream(stream, options)) {
      this.eventsRead++;
      yield event;
    }
  }
}
