import jsonPatch, { type Operation } from 'fast-json-patch';
import { isEmpty, type JsonObject } from '../replica/json.js';
import { mergePatchBetween } from '../replica/merge-patch.js';
import { type Replica } from '../replica/replica.js';

/** What makes one state of the other. Both patches are of `{"reported"?, "desired"?}`, where an empty section is absent. */
export interface StateDiff {
  /** JSON Patch, RFC 6902. */
  readonly patch: readonly Operation[];
  /** JSON Merge Patch, RFC 7396. */
  readonly mergePatch: JsonObject;
}

/** The sections as a get shows them. */
export function sectionsOf({ reported, desired }: Replica): JsonObject {
  return {
    ...(isEmpty(reported) ? {} : { reported }),
    ...(isEmpty(desired) ? {} : { desired }),
  };
}

/** Changes neither, and what it holds is theirs. */
export function diffStates(from: JsonObject, to: JsonObject): StateDiff {
  return { patch: jsonPatch.compare(from, to), mergePatch: mergePatchBetween(from, to) };
}
