/**
 * One side of the adapter's benchmark, `SIDE=adapter` or `SIDE=client`: appends what it is told to over its channel.
 * Both sides start from the same objects, so both write them as JSON within the measured time.
 */
import { randomUUID } from 'node:crypto';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import type * as Adapter from '../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import {
  type AppendAnswer,
  type AppendOrder,
  APPENDS_PER_STREAM,
  IN_FLIGHT,
  STREAMS_PER_CALL,
} from './support/append-messages.js';
import { type EventContent, makeEvents } from './support/workload.js';

const STREAM_PREFIX = 'deviceState-';
const connectionString = process.env['EVENTSTORE_CONNECTION_STRING'] as string;

interface Event extends EventContent {
  readonly id: string;
}

interface Append {
  readonly stream: string;
  /** −1 for a stream that is not there yet. */
  readonly expectedRevision: number;
  readonly events: readonly Event[];
}

type AppendAll = (appends: readonly Append[]) => Promise<void>;

/** As the service does it: many streams in a call. The compiled code is what `npm start` runs. */
async function adapterSide(): Promise<AppendAll> {
  const compiled = new URL(
    '../dist/adapters/event-store/eventstoredb/eventstoredb-event-store.js',
    import.meta.url,
  );
  const { openEventStoreDb } = (await import(compiled.href)) as typeof Adapter;
  const store = openEventStoreDb({ connectionString, streamPrefix: STREAM_PREFIX });
  return async (appends) => {
    let next = 0;
    const call = async (): Promise<void> => {
      while (next < appends.length) {
        const part = appends.slice(next, (next += STREAMS_PER_CALL));
        const results = await store.append(
          part.map(({ stream, expectedRevision, events }) => ({
            stream,
            expectedRevision,
            events: events.map(({ id, type, data, metadata }) => ({
              id,
              type,
              data: Buffer.from(JSON.stringify(data)),
              metadata: Buffer.from(JSON.stringify(metadata)),
            })),
          })),
        );
        results.forEach((result, index) => {
          const { expectedRevision, events } = part[index] as Append;
          if (result.kind === 'failed') throw result.error;
          if (result.kind !== 'appended' || result.revision !== expectedRevision + events.length)
            throw new Error(`Not appended as expected: ${JSON.stringify(result)}`);
        });
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT / STREAMS_PER_CALL }, call));
  };
}

function clientSide(): AppendAll {
  const client = EventStoreDBClient.connectionString(connectionString);
  return async (appends) => {
    let next = 0;
    const call = async (): Promise<void> => {
      for (let append = appends[next++]; append !== undefined; append = appends[next++]) {
        const { stream, expectedRevision, events } = append;
        const { nextExpectedRevision } = await client.appendToStream(
          stream,
          events.map(({ id, type, data, metadata }) => jsonEvent({ id, type, data, metadata })),
          { expectedRevision: expectedRevision < 0 ? 'no_stream' : BigInt(expectedRevision) },
        );
        if (nextExpectedRevision !== BigInt(expectedRevision + events.length))
          throw new Error(`Not appended as expected: the stream stands at ${nextExpectedRevision}`);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, call));
  };
}

/** Each stream again and again, in turns: no append waits for another one to its stream. */
function makeAppends({ round, appends, eventsPerAppend }: AppendOrder): Append[] {
  const contents = makeEvents(1000, 1);
  const streams = Math.ceil(appends / APPENDS_PER_STREAM);
  return Array.from({ length: appends }, (_, i) => ({
    stream: `${STREAM_PREFIX}${round}-device-${i % streams}`,
    expectedRevision: Math.floor(i / streams) * eventsPerAppend - 1,
    events: Array.from({ length: eventsPerAppend }, (_, k) => ({
      ...(contents[(i * eventsPerAppend + k) % contents.length] as EventContent),
      id: randomUUID(),
    })),
  }));
}

const appendAll = process.env['SIDE'] === 'adapter' ? await adapterSide() : clientSide();

async function run(order: AppendOrder): Promise<AppendAnswer> {
  const appends = makeAppends(order);
  const cpu = process.cpuUsage();
  const start = performance.now();
  await appendAll(appends);
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { seconds, cpuMicros: user + system };
}

process.on('message', (order: AppendOrder) => {
  run(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
process.stdout.write('ready\n');
