import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';

/**
 * A process that uses an event store and closes it: `node --import tsx eventstoredb.closer.ts <connectionString>`. It
 * ends by itself only where the close left neither a socket nor a timer.
 */
const [connectionString = ''] = process.argv.slice(2);
const store = openEventStoreDb({ connectionString, streamPrefix: 'closer-' });
const event = {
  id: '0d3b4c52-6f0a-4f6e-8d3e-2a8f3f1b7c10',
  type: 'ThingHappened',
  data: Buffer.from('{}'),
  metadata: Buffer.from('{}'),
};
const results = await store.append([{ stream: 'closer-1', expectedRevision: -1, events: [event] }]);
const iterator = store.subscribe({ after: 'start' })[Symbol.asyncIterator]();
await iterator.next();
const waiting = [iterator.next(), iterator.next(), iterator.next()];
for await (const _ of store.readAll()) break;
await store.health();
const handles = async (): Promise<string[]> => {
  // A socket is given back in the turns after its end.
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  return process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout/.test(name));
};
const before = await handles();
await store.close();
const last = await Promise.all(waiting);
process.stdout.write(
  `${JSON.stringify({ appended: results[0]?.kind, before: before.length > 0, ended: last.at(-1)?.done })}\n`,
);
