/**
 * npm run bench:rebuild [-- --events 300000] [--devices 10000] [--rounds 5] [--json FILE]
 *
 * Events a second of a rebuild of the read model, against those of just reading the same events from the same SQLite
 * event store. The two take turns, in this one process; the ratio is that of their medians. The memory is the resident
 * set, sampled while the rebuilds run.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteReadModel } from '../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { type EventStore, type StreamAppend } from '../src/application/ports/event-store.js';
import { rebuild } from '../src/application/rebuild.js';
import { REBUILD_OPTIONS } from '../src/cli/rebuild.js';
import { openEventStore } from '../src/open-event-store.js';
import { encodeData, encodeMetadata, streamOf } from '../src/replica/stored.js';
import { type JsonObject } from '../src/replica/json.js';
import { MEASURED_CORE, median, pin } from './support/machine.js';
import { readOptions } from './support/options.js';
import { announce, conclude } from './support/report.js';
import { makeCommands } from './support/workload.js';

const { events, devices, rounds, json } = readOptions({ events: 300_000, devices: 10_000, rounds: 5 });
const dataDir = mkdtempSync(join(tmpdir(), 'bench-rebuild-'));
const signal = new AbortController().signal;
const silent = {
  projected: () => undefined,
  deviceBroken: (deviceId: string | null, reason: string) => {
    throw new Error(`${deviceId}: ${reason}`);
  },
  settled: () => undefined,
  projectionFailed: () => undefined,
  generation: () => undefined,
};

async function fill(store: EventStore): Promise<void> {
  const revisions = new Map<string, number>();
  let offset = 0;
  for (let seed = 1; offset < events; seed++) {
    let appends = new Map<string, StreamAppend>();
    for (const { key, value } of makeCommands(Math.min(20_000, events - offset), devices, seed)) {
      const { state } = JSON.parse(value.toString()) as { state: Record<string, JsonObject> };
      const [section, patch] = Object.entries(state)[0] as [string, JsonObject];
      const type = section === 'desired' ? 'DesiredStateChanged' : 'ReportedStateChanged';
      const revision = (revisions.get(key) ?? -1) + 1;
      revisions.set(key, revision);
      const timestamp = 1_800_000_000_000 + offset;
      const data = encodeData(key, { type, version: revision + 1, timestamp, state: patch });
      const source = {
        topic: 'state.update',
        partition: offset % 12,
        offset,
        timestamp,
        log: 'a'.repeat(22),
      };
      const commandId = randomUUID();
      const metadata = encodeMetadata({ commandId, fingerprint: `update:${commandId}`, source });
      offset++;
      if (appends.has(key) || appends.size === 2000) {
        await store.append([...appends.values()]);
        appends = new Map();
      }
      const event = { id: commandId, type, data, metadata };
      appends.set(key, { stream: streamOf(key), expectedRevision: revision - 1, events: [event] });
    }
    await store.append([...appends.values()]);
  }
}

async function readRate(store: EventStore): Promise<number> {
  const start = performance.now();
  let count = 0;
  for await (const { data } of store.readAll()) count += data.length > 0 ? 1 : 0;
  return (count * 1000) / (performance.now() - start);
}

async function rebuildRate(store: EventStore, memory: number[]): Promise<number> {
  const model = openSqliteReadModel(mkdtempSync(join(dataDir, 'model-')), console);
  const start = performance.now();
  const dependencies = { store, model, observer: silent, clock: Date.now, options: REBUILD_OPTIONS };
  let steps = 0;
  const done = await rebuild(dependencies, signal, () => {
    // To ask costs the time of several events.
    if (steps++ % 16 === 0) memory.push(process.memoryUsage.rss() / 2 ** 20);
  });
  const rate = ((done?.events ?? 0) * 1000) / (performance.now() - start);
  await model.close();
  return rate;
}

const method = `${events} events of ${devices} devices (Zipf) in a SQLite event store; ${rounds} rounds, read and rebuild in turns after a read to warm up, medians`;
announce(method);
pin(process.pid, MEASURED_CORE);
const store = openEventStore({ kind: 'sqlite', dataDir });
try {
  await fill(store);
  await readRate(store);
  const reads: number[] = [];
  const rebuilds: number[] = [];
  const memory: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // Which is first takes turns, too.
    if (round % 2 === 0) reads.push(await readRate(store));
    rebuilds.push(await rebuildRate(store, memory));
    if (round % 2 === 1) reads.push(await readRate(store));
    console.log(`round ${round + 1}: read ${text(reads.at(-1))}/s, rebuild ${text(rebuilds.at(-1))}/s`);
  }
  const [read, built] = [median(reads), median(rebuilds)];
  const half = memory.length >> 1;
  const peaks = [Math.max(...memory.slice(0, half)), Math.max(...memory.slice(half))];
  console.log(
    `memory: at most ${peaks.map((mib) => `${text(mib)} MiB`).join(' in the first half, ')} in the second`,
  );
  const unit = 'events/s';
  const sides = [
    { side: 'rebuild', value: built, unit },
    { side: 'read', value: read, unit },
  ] as const;
  const details = { reads, rebuilds, peaks };
  conclude({ bench: 'rebuild', method, comparisons: [{ sides, ratio: built / read }], details, json });
} finally {
  await store.close();
  rmSync(dataDir, { recursive: true });
}

function text(value = 0): string {
  return Math.round(value).toLocaleString('en');
}
