import { refusals } from '../replica/commands.js';
import { type JsonValue } from '../replica/json.js';
import { arrayAbove, effectOn, pointerOf, timeAt, valueAt, type ValuePath } from '../replica/path.js';
import { streamOf } from '../replica/stored.js';
import { showEvent, type ShownEvent } from './history.js';
import { answer, type Answer, type Moment, refuse } from './moments.js';
import { Pacer } from './pacing.js';
import { type Past } from './past.js';
import { type EventStore, type RecordedEvent } from './ports/event-store.js';
import { decode } from './replicas.js';

export interface Explanation {
  /** As a JSON pointer. */
  readonly path: string;
  /** Absent: it was removed. */
  readonly value?: JsonValue;
  /** What stood there before the event; absent: nothing. Equal to the value where the event set it to what it was. */
  readonly previous?: JsonValue;
  /** The latest event that named the value, or something in it; or the one that removed it. */
  readonly event: ShownEvent;
}

/**
 * Finds the event that made a value what it is, or was at the moment. A scalar or an array has its event's time in the
 * metadata, so its event is found at once. For an object, and for what was removed, the events are read backwards
 * until one has to do with it; where none has, that is all of them.
 *
 * Refuses with 404 where the value was never there, and with 400 a path into an array. Throws `EventStoreError`.
 */
export async function explain(
  store: EventStore,
  past: Past,
  deviceId: string,
  path: ValuePath,
  moment: Moment | null,
): Promise<Answer<Explanation>> {
  const asked = moment === null ? await past.last(deviceId) : await past.eventOf(deviceId, moment);
  if (asked === null) return { ok: false, refusal: refusals.notFound(deviceId) };
  if ('ok' in asked && !asked.ok) return asked;
  const placed = 'ok' in asked ? asked.value : asked;
  const replica = await past.replicaAt(deviceId, placed.revision);
  const array = arrayAbove(replica, path);
  if (array !== null) {
    return refuse(400, `${pointerOf(array)} is an array, which is set whole: ask for that path`);
  }
  const value = valueAt(replica, path);
  const time = timeAt(replica, path);
  const latest =
    time === undefined
      ? placed
      : await past.lastWhere(deviceId, placed, ({ timestamp }) => timestamp <= time);
  const found = await findBackwards(
    store,
    past,
    deviceId,
    path,
    latest?.revision ?? placed.revision,
    value !== undefined,
  );
  if (found === null) {
    return refuse(404, `Device '${deviceId}' never had a value at ${pointerOf(path)} until then`);
  }
  const previous = valueAt(await past.replicaAt(deviceId, found.revision - 1), path);
  const { event, origin } = decode(found);
  return answer({
    path: pointerOf(path),
    ...(value === undefined ? {} : { value }),
    ...(previous === undefined ? {} : { previous }),
    event: showEvent(found, event, origin),
  });
}

/**
 * The latest event up to a revision that set the value; or, where there is none any more, the one that removed it:
 * the first that did so since it was last set. Null: it was never set.
 */
async function findBackwards(
  store: EventStore,
  past: Past,
  deviceId: string,
  path: ValuePath,
  from: number,
  isThere: boolean,
): Promise<RecordedEvent | null> {
  const mayConcern = filterOf(path);
  const pacer = new Pacer();
  let removal: RecordedEvent | null = null;
  for await (const recorded of store.readStream(streamOf(deviceId), { direction: 'backwards', from })) {
    past.throwIfAborted();
    if (pacer.isDue) await pacer.pause();
    if (!mayConcern(recorded)) continue;
    const effect = effectOn(decode(recorded).event, path);
    if (effect === 'sets') return isThere ? recorded : removal;
    if (effect === 'removes') removal = recorded;
  }
  return null;
}

/** Tells at a glance, without parsing it, that an event has nothing to do with a path. Most have not. */
function filterOf({ section, keys }: ValuePath): (recorded: RecordedEvent) => boolean {
  const type = section === 'reported' ? 'ReportedStateChanged' : 'DesiredStateChanged';
  // Stored events are written by JSON.stringify, which spells a key in one way.
  const key = Buffer.from(`${JSON.stringify(keys[0])}:`);
  const removal = Buffer.from('"state":null');
  return (recorded) =>
    recorded.type === 'ReplicaDeleted' ||
    (recorded.type === type && (recorded.data.includes(key) || recorded.data.includes(removal)));
}
