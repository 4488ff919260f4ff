import type { Admin } from 'kafkajs';
import { createRequire } from 'node:module';
import { type Assignment, type Placement, Positions } from '../../src/adapters/bus/kafka/positions.js';
import { Outputs } from '../../src/application/outputs.js';
import { type DeviceWork } from '../../src/application/device-work.js';
import { type Bus, type CommandBatch } from '../../src/application/ports/bus.js';
import {
  type AppendResult,
  type EventStore,
  type RecordedEvent,
  type StreamAppend,
  type SubscriptionItem,
} from '../../src/application/ports/event-store.js';
import { type RowsWritten } from '../../src/application/ports/read-model.js';
import { type StoredSnapshot } from '../../src/application/ports/snapshots.js';
import { ProcessCommands } from '../../src/application/process-commands.js';
import { type Recalled } from '../../src/application/recall.js';
import { RecordStep } from '../../src/application/record-step.js';
import { Replicas } from '../../src/application/replicas.js';
import { installKafka } from './kafka/network.js';
import { type RunOptions } from './run.js';
import { type Parts } from './world/instance.js';
import { ReadModelStorage } from './world/read-model.js';

/*
 * Mistakes that somebody could make, planted into the service from outside: a port that does it, or a method in the
 * place of another. Each of them must be found; the product knows nothing of them.
 */

type Plant = (parts: Parts) => Parts;

const load = createRequire(import.meta.url) as (name: string) => { prototype: object };

type Method = (...args: unknown[]) => unknown;

/** Puts a method in the place of a class's own, also one that TypeScript keeps to it. */
function replace<A extends readonly unknown[], S>(
  type: { prototype: object },
  name: string,
  by: (original: Method, args: A, self: S) => unknown,
): Plant {
  const methods = type.prototype as Record<string, Method>;
  const original = methods[name];
  if (original === undefined) throw new Error(`There is no ${name} to put a fault in the place of`);
  methods[name] = function (this: object, ...args) {
    return by((...others) => original.apply(this, others), args as unknown as A, this as unknown as S);
  };
  return (parts) => parts;
}

/** An object that is another one but for these members. */
function instead<T extends object>(original: T, members: Partial<T>): T {
  return new Proxy(original, {
    get(target, name): unknown {
      if (Object.hasOwn(members, name)) return members[name as keyof T];
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
    },
  });
}

const withStore =
  (members: (store: EventStore) => Partial<EventStore>): Plant =>
  (parts) => ({ ...parts, store: instead(parts.store, members(parts.store)) });

const withBus =
  (members: (bus: Bus) => Partial<Bus>): Plant =>
  (parts) => ({ ...parts, bus: instead(parts.bus, members(parts.bus)) });

export const FAULTS = {
  'an offset is committed before its outputs are acknowledged': () =>
    replace(ProcessCommands, 'publish', async (publish, args) => {
      void (publish(...args) as Promise<void>).catch(() => undefined);
    }),
  'a failure to publish is taken for an acknowledgement': () =>
    withBus((bus) => ({ publish: (messages) => bus.publish(messages).catch(() => undefined) })),
  'outputs are published in the reverse order': () =>
    withBus((bus) => ({ publish: (messages) => bus.publish([...messages].reverse()) })),
  'commands are not recognised when they come again': () => {
    const forget = (replica: unknown): unknown => {
      if (replica !== undefined)
        Object.assign(replica as object, { sources: new Map(), commands: undefined });
      return replica;
    };
    replace(Replicas, 'load', async (load, args) => forget(await load(...args)));
    return replace(Replicas, 'takeCached', (take, args) => forget(take(...args)));
  },
  'an append is made at whatever revision the stream has': () =>
    withStore((store) => ({
      append: async (appends) => {
        const results = await store.append(appends);
        return Promise.all(
          results.map(async (result, index): Promise<AppendResult> => {
            if (result.kind !== 'conflict') return result;
            const again = { ...(appends[index] as StreamAppend), expectedRevision: result.revision };
            return (await store.append([again]))[0] as AppendResult;
          }),
        );
      },
    })),
  'a conflict is taken for a success': () =>
    withStore((store) => ({
      append: async (appends) =>
        (await store.append(appends)).map((result) =>
          result.kind === 'conflict' ? { kind: 'appended', revision: result.revision } : result,
        ),
    })),
  'an append of unknown outcome is tried again by other event ids': () =>
    withStore((store) => ({
      append: async (appends) => {
        const results = await store.append(appends);
        return Promise.all(
          results.map(async (result, index): Promise<AppendResult> => {
            if (result.kind !== 'failed' || result.error.code !== 'outcome-unknown') return result;
            const { stream, events } = appends[index] as StreamAppend;
            let revision = -1;
            try {
              for await (const event of store.readStream(stream)) ({ revision } = event);
            } catch {
              return result;
            }
            const others = events.map((event) => ({ ...event, id: crypto.randomUUID() }));
            const again = { stream, expectedRevision: revision, events: others };
            return (await store.append([again]))[0] as AppendResult;
          }),
        );
      },
    })),
  'an append is acknowledged before it is durable': () =>
    withStore((store) => ({
      append: async (appends) => {
        void store.append(appends);
        return appends.map(({ expectedRevision, events }) => ({
          kind: 'appended',
          revision: expectedRevision + events.length,
        }));
      },
    })),
  'a refusal is decided on what memory kept': () =>
    replace(
      RecordStep,
      'proveAndAdvance',
      (_, [batch, work]: readonly [CommandBatch, DeviceWork], self: Step) => {
        work.isProven = true;
        return self.advance(batch, work) ?? Promise.resolve();
      },
    ),
  'a repeated answer leaves out its delta': () =>
    replace(RecordStep, 'answerRecalled', (answer, [item, recalled]: readonly [unknown, Recalled]) => {
      const { kind, ...rest } = recalled;
      if (kind !== 'accepted' || !('response' in rest)) return answer(item, recalled);
      const { delta: _, ...response } = rest.response;
      return answer(item, { kind, response });
    }),
  'a refusal bears the time of the clock': () =>
    replace(Outputs, 'rejected', (rejected, [into, message, deviceId, id, refusal, , token]) =>
      rejected(into, message, deviceId, id, refusal, Date.now(), token),
    ),
  "a load begins at another device's snapshot": () => (parts) => {
    let last: StoredSnapshot | null = null;
    return {
      ...parts,
      snapshots: instead(parts.snapshots, {
        save: (snapshots) => {
          last = snapshots.at(-1) ?? last;
          return parts.snapshots.save(snapshots);
        },
        find: async (deviceId, atMost) => {
          const found = await parts.snapshots.find(deviceId, atMost);
          if (found === null || last === null) return found;
          const { revision } = found;
          return {
            ...found,
            text: JSON.stringify({ ...(JSON.parse(last.text) as object), deviceId, revision }),
          };
        },
      }),
    };
  },
  'the offset after the next one is committed': () =>
    replace(load('kafkajs/src/broker'), 'offsetCommit', (commit, [request]: readonly [CommitRequest]) => {
      const { topics, ...rest } = request;
      const shifted = topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map((each) => ({ ...each, offset: String(Number(each.offset) + 1) })),
      }));
      return commit({ ...rest, topics: shifted });
    }),
  'a partition that changes hands begins at its end': () =>
    replace(
      Positions,
      'place',
      async (place, args: readonly [Admin, string, Assignment], self: Positions) => {
        const placements = (await place(...args)) as Placement[];
        for (const placement of placements) {
          const { topic, partition } = placement;
          const bounds = await args[0].fetchTopicOffsets(topic);
          const end = Number(bounds.find((each) => each.partition === partition)?.high ?? 0);
          Object.assign(placement, { offset: end });
          Object.assign(self.get(topic, partition) ?? {}, { next: end });
        }
        return placements;
      },
    ),
  'the projection passes over an event': () =>
    withStore((store) => ({
      subscribe: (options) => without(store.subscribe(options), ({ kind }) => kind === 'event'),
      readAll: (options) => without(store.readAll(options), () => true),
    })),
  'a checkpoint is written without its rows': () => (parts) => {
    let count = 0;
    return {
      ...parts,
      model: instead(parts.model, {
        write: (id: number, written: RowsWritten) =>
          parts.model.write(id, ++count % 5 === 0 ? { ...written, rows: [] } : written),
      }),
    };
  },
  'rows are written whatever the checkpoint is': () =>
    replace(
      ReadModelStorage,
      'write',
      (write, [id, written]: readonly [number, RowsWritten], self: ReadModelStorage) => {
        const expected = self.generations.get(id)?.checkpoint?.position ?? null;
        return write(id, { ...written, expected });
      },
    ),
} satisfies Record<string, () => Plant>;

/** What is TypeScript's own secret of a `RecordStep`. */
interface Step {
  advance(batch: CommandBatch, work: DeviceWork): Promise<void> | null;
}

interface CommitRequest {
  readonly topics: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
  }[];
}

/** Every fifth of those that count is left out. */
async function* without<T extends SubscriptionItem | RecordedEvent>(
  items: AsyncIterable<T>,
  counts: (item: T) => boolean,
): AsyncGenerator<T> {
  let count = 0;
  for await (const item of items) if (!counts(item) || ++count % 5 !== 0) yield item;
}

export type FaultName = keyof typeof FAULTS;

/** Plants the fault, once in a process; null: there is none. */
export function plantFault(name: FaultName | null): Pick<RunOptions, 'plant'> {
  if (name === null) return {};
  // Or it would put its own in the place of the fault.
  installKafka();
  return { plant: FAULTS[name]() };
}
