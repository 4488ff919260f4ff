import { randomUUID } from 'node:crypto';
import { type EventStore, type StreamAppend } from '../../src/application/ports/event-store.js';
import { type Command } from '../../src/replica/commands.js';
import { decide } from '../../src/replica/decide.js';
import { evolve } from '../../src/replica/evolve.js';
import { type Origin } from '../../src/replica/events.js';
import { type JsonObject } from '../../src/replica/json.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';
import { emptyReplica, type Replica } from '../../src/replica/replica.js';
import { encodeData, encodeMetadata, streamOf } from '../../src/replica/stored.js';

/** Repeatable numbers from 0 to 1. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}

/** Makes histories of devices as the service would record them: random updates and deletes of few keys and values. */
export class Histories {
  /** What each device's events fold to. */
  readonly replicas = new Map<string, Replica>();
  private count = 0;

  constructor(
    private readonly random: () => number,
    private readonly deviceCount: number,
    private readonly prefix = '',
  ) {}

  /** Appends commands, each of another device where there are enough. */
  async append(store: EventStore, commands: number): Promise<void> {
    const appends = new Map<string, StreamAppend>();
    for (let n = 0; n < commands; n++) {
      const append = this.next();
      if (append === null) continue;
      if (appends.has(append.stream)) await appendAll(store, appends);
      appends.set(append.stream, append);
    }
    await appendAll(store, appends);
  }

  private next(): StreamAppend | null {
    const deviceId = `${this.prefix}device-${this.below(this.deviceCount)}`;
    const replica = this.replicas.get(deviceId) ?? emptyReplica(deviceId);
    this.replicas.set(deviceId, replica);
    const offset = this.count++;
    const origin: Origin = {
      commandId: randomUUID(),
      fingerprint: `update:${offset}`,
      source: {
        topic: 'state.update',
        partition: 0,
        offset,
        timestamp: 1_800_000_000_000 + offset,
        log: 'log',
      },
      ...(this.below(3) === 0 ? { messageId: `m-${offset}` } : {}),
    };
    const options = { limits: DEFAULT_LIMITS, unchangedUpdates: 'record' } as const;
    const decision = decide(replica, this.command(origin), 1_800_000_000_000 + offset, options);
    if (decision.kind !== 'accepted') return null;
    const first = replica.revision + 1;
    const events = decision.events.map((event, index) => {
      const data = encodeData(deviceId, event);
      evolve(replica, event, origin, first + index);
      return { id: randomUUID(), type: event.type, data, metadata: encodeMetadata(origin) };
    });
    return { stream: streamOf(deviceId), expectedRevision: first - 1, events };
  }

  private command(origin: Origin): Command {
    const kind = this.below(20);
    if (kind === 0) return { kind: 'delete', origin };
    if (kind === 1) return { kind: 'update', origin, state: null };
    if (kind === 2) return { kind: 'update', origin, state: {} };
    const section = (): JsonObject | null => (this.below(12) === 0 ? null : this.section(2));
    const which = this.below(3);
    const state = {
      ...(which !== 0 ? { reported: section() } : {}),
      ...(which !== 1 ? { desired: section() } : {}),
    };
    return { kind: 'update', origin, state };
  }

  private section(depth: number): JsonObject {
    const object: JsonObject = {};
    for (let n = this.below(3); n >= 0; n--) {
      const key = 'abc'[this.below(3)] as string;
      const kind = this.below(depth > 0 ? 6 : 4);
      object[key] =
        kind === 0
          ? null
          : kind === 1
            ? [1, this.below(2)]
            : kind > 3
              ? this.section(depth - 1)
              : this.below(2);
    }
    return object;
  }

  private below(count: number): number {
    return Math.floor(this.random() * count);
  }
}

async function appendAll(store: EventStore, appends: Map<string, StreamAppend>): Promise<void> {
  if (appends.size === 0) return;
  const results = await store.append([...appends.values()]);
  appends.clear();
  for (const result of results) if (result.kind !== 'appended') throw new Error(`An append: ${result.kind}`);
}
