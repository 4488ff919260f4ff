/**
 * A replica as one text that takes little memory, and back, within a process. Unlike a snapshot it is kept by nobody
 * for longer than the program runs, so it has no version, no names, and is trusted.
 */
import { diff, inShape, shapeOf } from './delta.js';
import { isEmpty, isObject, type JsonObject, type JsonValue } from './json.js';
import { type MetaNode, type MetaObject, type Replica, type SourceMark } from './replica.js';

/** `times`: how long before the replica's own time leaves were set, and how many leaves in a row: `[ms, count, …]`. */
type Packed = [
  version: number,
  exists: 0 | 1,
  timestamp: number,
  revision: number,
  reported: JsonObject,
  reportedTimes: number[],
  desired: JsonObject,
  desiredTimes: number[],
  deltaShape: JsonValue,
  reportedBytes: number,
  desiredBytes: number,
  bytesAtMost: number | null,
  bytesCounted: number,
  sources: (string | number)[],
  commands?: string[],
];

/** What takes two bytes for each character of the whole text where there is one such in it. */
const WIDE = /[\u0100-\uffff]/;
const EACH_WIDE = new RegExp(WIDE, 'g');

/** What {@link unpack} makes of the text behaves as this replica does, to the byte. One byte for each character. */
export function pack(replica: Replica): string {
  const { version, exists, timestamp, revision, reported, desired, delta, commands } = replica;
  const packed: Packed = [
    version,
    exists ? 1 : 0,
    timestamp,
    revision,
    reported,
    timesOf(reported, replica.reportedMeta, timestamp),
    desired,
    timesOf(desired, replica.desiredMeta, timestamp),
    shapeOf(delta, desired, reported),
    replica.reportedBytes,
    replica.desiredBytes,
    // Infinity becomes null.
    replica.bytesAtMost,
    replica.bytesCounted,
    marksOf(replica.sources),
  ];
  if (commands !== undefined) packed.push([...commands].flat());
  const text = JSON.stringify(packed);
  if (!WIDE.test(text)) return text;
  const narrow = text.replace(EACH_WIDE, (wide) => `\\u${wide.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return Buffer.from(narrow, 'latin1').toString('latin1');
}

/** The replica of a text that {@link pack} made of this device's. */
export function unpack(text: string, deviceId: string): Replica {
  const [
    version,
    exists,
    timestamp,
    revision,
    reported,
    reportedTimes,
    desired,
    desiredTimes,
    shape,
    reportedBytes,
    desiredBytes,
    bytesAtMost,
    bytesCounted,
    marks,
    commands,
  ] = JSON.parse(text) as Packed;
  const delta = isEmpty(shape as JsonObject)
    ? {}
    : inShape(diff(desired, reported), shape, desired, reported);
  if (delta === null) throw new Error(`The packed replica of ${deviceId} contradicts itself`);
  return {
    deviceId,
    version,
    exists: exists === 1,
    timestamp,
    revision,
    reported,
    desired,
    reportedMeta: new Times(reportedTimes, timestamp).of(reported),
    desiredMeta: new Times(desiredTimes, timestamp).of(desired),
    delta,
    reportedBytes,
    desiredBytes,
    bytesAtMost: bytesAtMost ?? Infinity,
    bytesCounted,
    sources: sourcesOf(marks),
    commands: commands && new Map(inGroups(commands, 2) as [string, string][]),
  };
}

/** Of each leaf, in the order of the section's keys. Leaves that were set together nearly always stand together. */
function timesOf(section: JsonObject, meta: MetaObject, timestamp: number, times: number[] = []): number[] {
  for (const key in section) {
    const value = section[key] as JsonValue;
    const node = meta[key] as MetaNode;
    if (isObject(value)) {
      timesOf(value, node as MetaObject, timestamp, times);
      continue;
    }
    const age = timestamp - (node as number);
    const last = times.length - 1;
    if (times[last - 1] === age) (times[last] as number)++;
    else times.push(age, 1);
  }
  return times;
}

class Times {
  private next = 0;
  private left = 0;
  private current = 0;

  constructor(
    private readonly times: readonly number[],
    private readonly timestamp: number,
  ) {}

  of(section: JsonObject): MetaObject {
    const meta: MetaObject = {};
    for (const key in section) {
      const value = section[key] as JsonValue;
      meta[key] = isObject(value) ? this.of(value) : this.ofLeaf();
    }
    return meta;
  }

  private ofLeaf(): number {
    if (this.left === 0) {
      this.current = this.timestamp - (this.times[this.next] as number);
      this.left = this.times[this.next + 1] as number;
      this.next += 2;
    }
    this.left--;
    return this.current;
  }
}

const MARK_FIELDS = 9;

function marksOf(sources: Replica['sources']): (string | number)[] {
  const marks: (string | number)[] = [];
  for (const [key, mark] of sources) {
    const { offset, timestamp, fingerprint, log, maxOffset, maxTimestamp, priorOffset, priorTimestamp } =
      mark;
    marks.push(key, offset, timestamp, fingerprint, log);
    marks.push(maxOffset - offset, maxTimestamp - timestamp, priorOffset, priorTimestamp);
  }
  return marks;
}

function sourcesOf(marks: (string | number)[]): Replica['sources'] {
  const sources = new Map<string, SourceMark>();
  for (const group of inGroups(marks, MARK_FIELDS)) {
    const [key, offset, timestamp, fingerprint, log, maxAhead, timeAhead, priorOffset, priorTimestamp] =
      group as [string, number, number, string, string, number, number, number, number];
    sources.set(key, {
      offset,
      timestamp,
      fingerprint,
      log,
      maxOffset: offset + maxAhead,
      maxTimestamp: timestamp + timeAhead,
      priorOffset,
      priorTimestamp,
    });
  }
  return sources;
}

function inGroups<T>(values: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let from = 0; from < values.length; from += size) groups.push(values.slice(from, from + size));
  return groups;
}
