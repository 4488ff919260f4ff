import { type EventStore, type ReadStreamOptions, type RecordedEvent } from './ports/event-store.js';

const FIRST_COUNT = 16;
/** So many events are in memory at once. */
const MAX_COUNT = 256;

/**
 * Reads a part of a stream that its reader may leave at any event. Each call to the store is read to its end: servers
 * close a connection on which many calls are broken off. The calls get larger, since most readers leave soon.
 *
 * Throws `EventStoreError`.
 */
export async function* readChunks(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  options: Required<Pick<ReadStreamOptions, 'direction' | 'from' | 'maxCount'>>,
): AsyncGenerator<RecordedEvent> {
  const { direction } = options;
  let { from, maxCount: left } = options;
  for (let size = FIRST_COUNT; left > 0; size = Math.min(2 * size, MAX_COUNT)) {
    const count = Math.min(size, left);
    const chunk: RecordedEvent[] = [];
    for await (const event of store.readStream(stream, { direction, from, maxCount: count }))
      chunk.push(event);
    yield* chunk;
    const last = chunk.at(-1);
    if (last === undefined || chunk.length < count) return;
    left -= count;
    from = direction === 'forwards' ? last.revision + 1 : last.revision - 1;
    if (from < 0) return;
  }
}
