import { getDocument } from '../replica/documents.js';
import { own } from '../replica/json.js';
import { isReplicaId } from '../replica/limits.js';
import { answer, type Answer, readMoment, refuse } from './moments.js';
import { Pacer } from './pacing.js';
import { type Past } from './past.js';
import { readObject } from './read-command.js';

export const MAX_AS_OF_COUNT = 100;

export interface AsOfRequest {
  /** From 1 to {@link MAX_AS_OF_COUNT} of them, legal and each once. */
  readonly deviceIds: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Reads `{"deviceIds": [...], "at": time}`. An id that stands there twice is one. */
export function readAsOf(body: Buffer): Answer<AsOfRequest> {
  const read = readObject(body);
  if (!read.ok) return read;
  const ids = own(read.value, 'deviceIds');
  const isRightCount = Array.isArray(ids) && ids.length >= 1 && ids.length <= MAX_AS_OF_COUNT;
  if (!isRightCount) return refuse(400, `Invalid deviceIds: an array of 1 to ${MAX_AS_OF_COUNT}`);
  const deviceIds = new Set<string>();
  for (const [index, id] of ids.entries()) {
    if (typeof id !== 'string' || !isReplicaId(id)) {
      return refuse(400, `Illegal deviceId at ${index} of deviceIds: 1 to 128 of [A-Za-z0-9:._-]`);
    }
    deviceIds.add(id);
  }
  const moment = readMoment({ at: own(read.value, 'at') });
  if (!moment.ok) return moment;
  if (moment.value?.kind !== 'time') return refuse(400, 'Missing at: a time');
  return answer({ deviceIds: [...deviceIds], at: moment.value.time });
}

/** Devices as they were at a time. */
export interface StatesThen {
  readonly at: number;
  /** In the order asked for; a get's accepted document, or null where the device had no state then. */
  readonly devices: ReadonlyMap<string, string | null>;
}

/** So many devices are read side by side: a store that is far away answers them together. */
const CHUNK_COUNT = 4;

/** Throws `EventStoreError`. */
export async function statesAt(
  past: Past,
  deviceIds: readonly string[],
  time: number,
): Promise<StatesThen['devices']> {
  const devices = new Map<string, string | null>();
  const pacer = new Pacer();
  const stateAt = async (deviceId: string): Promise<string | null> => {
    const then = await past.replicaOf(deviceId, { kind: 'time', time });
    // The only refusal: there was none.
    return then.ok ? getDocument(then.value, then.value.timestamp) : null;
  };
  for (let from = 0; from < deviceIds.length; from += CHUNK_COUNT) {
    const chunk = deviceIds.slice(from, from + CHUNK_COUNT);
    const states = await Promise.all(chunk.map(stateAt));
    chunk.forEach((deviceId, index) => devices.set(deviceId, states[index] ?? null));
    if (pacer.isDue) await pacer.pause();
  }
  return devices;
}

/** `{"at", "devices": {"id": {state, metadata, version, timestamp} | null}}`. */
export function asOfDocument({ at, devices }: StatesThen): string {
  // Not by way of an object, which has `__proto__` and numbers in its own way: both are legal ids.
  const members = [...devices].map(([id, state]) => `${JSON.stringify(id)}:${state ?? 'null'}`);
  return `{"at":${at},"devices":{${members.join(',')}}}`;
}
