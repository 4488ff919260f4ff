/**
 * What the contract says, in the slowest and plainest way: values are never changed, everything is counted and
 * compared anew. It knows nothing of the code under test.
 */
export type Json = null | boolean | number | string | Json[] | JsonMap;
export interface JsonMap {
  [key: string]: Json;
}

export interface Request {
  readonly state: { readonly reported?: JsonMap | null; readonly desired?: JsonMap | null } | null;
  readonly version?: number;
  readonly clientToken?: string;
}

/** One device as the contract sees it. `times`: when the leaf at a path (as JSON) was last named. */
export interface Shadow {
  readonly exists: boolean;
  readonly version: number;
  readonly timestamp: number;
  readonly reported: JsonMap;
  readonly desired: JsonMap;
  readonly times: ReadonlyMap<string, number>;
}

export const NOTHING: Shadow = {
  exists: false,
  version: 0,
  timestamp: 0,
  reported: {},
  desired: {},
  times: new Map(),
};

export function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7396, on values. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isMap(patch)) return patch;
  const result = new Map(Object.entries(isMap(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, mergePatch(result.get(key), value));
  }
  return Object.fromEntries(result);
}

/** A text that is equal where two values are equal, whatever the order of keys. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isMap(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`);
  return `{${members.sort().join()}}`;
}

export function deltaOf(desired: JsonMap, reported: JsonMap): JsonMap {
  const actual = new Map(Object.entries(reported));
  return Object.fromEntries(
    Object.entries(desired).flatMap(([key, wanted]): [string, Json][] => {
      const value = actual.get(key);
      if (value === undefined) return [[key, wanted]];
      if (!isMap(wanted) || !isMap(value))
        return canonical(wanted) === canonical(value) ? [] : [[key, wanted]];
      const inner = deltaOf(wanted, value);
      return Object.keys(inner).length === 0 ? [] : [[key, inner]];
    }),
  );
}

/** What turns one value into the other, as a merge patch. */
export function changeOf(before: JsonMap, after: JsonMap): JsonMap {
  const old = new Map(Object.entries(before));
  const now = new Map(Object.entries(after));
  const result: [string, Json][] = [];
  for (const key of new Set([...old.keys(), ...now.keys()])) {
    const a = old.get(key);
    const b = now.get(key);
    if (b === undefined) result.push([key, null]);
    else if (a === undefined) result.push([key, b]);
    else if (isMap(a) && isMap(b)) {
      const inner = changeOf(a, b);
      if (Object.keys(inner).length > 0) result.push([key, inner]);
    } else if (canonical(a) !== canonical(b)) result.push([key, b]);
  }
  return Object.fromEntries(result);
}

export function sizeOf(section: JsonMap): number {
  return Object.keys(section).length === 0 ? 0 : Buffer.byteLength(JSON.stringify(section));
}

/** Metadata in a value's own shape; `time` says when the leaf at a path was set. */
export function metadataOf(value: Json, path: string[], time: (path: string[]) => number | undefined): Json {
  if (Array.isArray(value)) return value.map((element) => metadataOf(element, [], () => time(path)));
  if (!isMap(value)) return { timestamp: time(path) ?? NaN };
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, metadataOf(inner, [...path, key], time)]),
  );
}

function leafPaths(value: Json, path: string[]): string[] {
  if (!isMap(value)) return [JSON.stringify(path)];
  return Object.entries(value).flatMap(([key, inner]) => leafPaths(inner, [...path, key]));
}

export function stateOf({ reported, desired }: Shadow): JsonMap {
  return {
    ...(Object.keys(reported).length === 0 ? {} : { reported }),
    ...(Object.keys(desired).length === 0 ? {} : { desired }),
  };
}

const timeIn =
  ({ times }: Shadow, section: string) =>
  (path: string[]): number | undefined =>
    times.get(JSON.stringify([section, ...path]));

export function snapshotOf(shadow: Shadow): Json {
  if (!shadow.exists) return null;
  const state = stateOf(shadow);
  return { state, metadata: metadataOf(state, [], timeAt(shadow)), version: shadow.version };
}

const timeAt =
  ({ times }: Shadow) =>
  (path: string[]): number | undefined =>
    times.get(JSON.stringify(path));

export function gotten(shadow: Shadow, timestamp: number): Json {
  const state = stateOf(shadow);
  const delta = deltaOf(shadow.desired, shadow.reported);
  const metadata = metadataOf(state, [], timeAt(shadow)) as JsonMap;
  const outstanding = Object.keys(delta).length > 0;
  return {
    state: { ...state, ...(outstanding ? { delta } : {}) },
    metadata: {
      ...metadata,
      ...(outstanding ? { delta: metadataOf(delta, [], timeIn(shadow, 'desired')) } : {}),
    },
    version: shadow.version,
    timestamp,
  };
}

export interface Answer {
  readonly shadow: Shadow;
  readonly accepted: Json;
  /** Absent: no delta message. */
  readonly delta: Json | undefined;
  readonly documents: Json;
}

export type Verdict = { readonly code: 404 | 409 | 413 } | Answer;

/** Decides, records and answers one update. */
export function update(shadow: Shadow, request: Request, now: number, maxStateBytes: number): Verdict {
  const next = apply(shadow, request, now, maxStateBytes);
  if ('code' in next) return next;
  const accepted = acceptedOf(request, next);
  return {
    shadow: next,
    accepted,
    delta: deltaAfter(shadow, next, request),
    documents: documentsOf(shadow, next, request),
  };
}

/** Decides one update: what it makes of the device, or the code that it is refused with. */
export function apply(
  shadow: Shadow,
  request: Request,
  now: number,
  maxStateBytes: number,
): Shadow | { readonly code: 409 | 413 } {
  if (request.version !== undefined && request.version !== shadow.version) return { code: 409 };
  const sections = sectionsOf(request);
  const timestamp = Math.max(now, shadow.timestamp);
  const times = new Map(shadow.times);
  const merged = (name: 'reported' | 'desired'): JsonMap => {
    const patch = sections[name];
    if (patch === undefined) return shadow[name];
    if (patch === null) return {};
    leafPaths(patch, [name]).forEach((path) => times.set(path, timestamp));
    return mergePatch(shadow[name], patch) as JsonMap;
  };
  const next: Shadow = {
    exists: true,
    version: shadow.version + 1,
    timestamp,
    reported: merged('reported'),
    desired: merged('desired'),
    times,
  };
  const bytes = sizeOf(next.reported) + sizeOf(next.desired);
  const before = sizeOf(shadow.reported) + sizeOf(shadow.desired);
  return bytes > maxStateBytes && bytes >= before ? { code: 413 } : next;
}

function sectionsOf({ state }: Request): NonNullable<Request['state']> {
  return state ?? { reported: null, desired: null };
}

function endingOf({ clientToken }: Request, { timestamp }: Shadow): JsonMap {
  return { timestamp, ...(clientToken === undefined ? {} : { clientToken }) };
}

/** The accepted document of an update after which the device is so. */
export function acceptedOf(request: Request, after: Shadow): Json {
  const state = request.state as Json;
  const metadata = metadataOf(state, [], () => after.timestamp);
  return { state, metadata, version: after.version, ...endingOf(request, after) };
}

/** The delta document of an update; undefined: none is due. */
export function deltaAfter(before: Shadow, after: Shadow, request: Request): Json | undefined {
  const sections = sectionsOf(request);
  const changed: JsonMap = {};
  for (const name of ['reported', 'desired'] as const) {
    const change = changeOf(before[name], after[name]);
    if (Object.keys(change).length > 0) changed[name] = sections[name] === null ? null : change;
  }
  const state = deltaOf(after.desired, after.reported);
  if (Object.keys(state).length === 0 && Object.keys(changed).length === 0) return undefined;
  const metadata = metadataOf(state, [], timeIn(after, 'desired'));
  return { state, changed, metadata, version: after.version, ...endingOf(request, after) };
}

export function documentsOf(before: Shadow, after: Shadow, request: Request): Json {
  return { previous: snapshotOf(before), current: snapshotOf(after), ...endingOf(request, after) };
}

export function remove(shadow: Shadow, now: number): Shadow {
  const timestamp = Math.max(now, shadow.timestamp);
  return { ...NOTHING, version: shadow.version, timestamp };
}
