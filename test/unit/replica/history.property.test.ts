import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { diff, refreshDelta } from '../../../src/replica/delta.js';
import { getDocument } from '../../../src/replica/documents.js';
import { type JsonObject } from '../../../src/replica/json.js';
import { growth, merge, wouldChange } from '../../../src/replica/merge.js';
import { type MetaNode, type MetaObject, type Replica } from '../../../src/replica/replica.js';
import { history, patch, section } from '../support/arbitraries.js';
import { live } from '../support/model.js';
import {
  canonical,
  changeOf,
  deltaOf,
  gotten,
  isMap,
  type Json,
  mergePatch,
  sizeOf,
  stateOf,
} from '../support/oracle.js';
import { expectSame, RECORD, SKIP, withLimit } from '../support/scenario.js';

const parse = (text: string | null | undefined): Json | undefined =>
  text === undefined ? undefined : text === null ? null : (JSON.parse(text) as Json);

/** A copy that shares nothing. */
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Metadata must be a number at every leaf and array, an object at every object. */
function hasShapeOf(value: Json, meta: MetaNode | undefined): boolean {
  if (!isMap(value)) return typeof meta === 'number';
  if (typeof meta !== 'object') return false;
  const keys = Object.keys(value);
  return (
    canonical(keys.sort()) === canonical(Object.keys(meta).sort()) &&
    keys.every((key) => hasShapeOf(value[key] ?? null, meta[key]))
  );
}

function expectConsistent(replica: Replica): void {
  expectSame(replica.delta, diff(replica.desired, replica.reported));
  expectSame(replica.delta, deltaOf(replica.desired, replica.reported));
  expectSame(deltaOf(replica.desired, mergePatch(replica.reported, replica.delta) as JsonObject), {});
  expect([-1, sizeOf(replica.reported)]).toContain(replica.reportedBytes);
  expect([-1, sizeOf(replica.desired)]).toContain(replica.desiredBytes);
  expect(replica.bytesAtMost).toBeGreaterThanOrEqual(sizeOf(replica.reported) + sizeOf(replica.desired));
  expectSame(hasShapeOf(replica.reported, replica.reportedMeta), true);
  expectSame(hasShapeOf(replica.desired, replica.desiredMeta), true);
}

describe('Any history of updates and deletes', () => {
  it('gives the state, answers, deltas, documents and refusals that the contract says', () => {
    fc.assert(
      fc.property(history, fc.constantFrom(20, 60, 150, 600, 32_768), (steps, limit) => {
        live(steps, withLimit(limit), ({ command, verdict, refused, events, response, replica }) => {
          if ('code' in verdict) {
            expectSame([refused, events], [verdict.code, []]);
            return;
          }
          expectSame(refused, null);
          const { shadow } = verdict;
          const { exists, version, timestamp } = replica;
          expectSame([exists, version, timestamp], [shadow.exists, shadow.version, shadow.timestamp]);
          expectSame(replica.reported, shadow.reported);
          expectSame(replica.desired, shadow.desired);
          expectSame(parse(response?.accepted), verdict.accepted);
          expectSame(parse(response?.delta), verdict.delta);
          expectSame(parse(response?.documents), verdict.documents);
          expectSame(parse(getDocument(replica, 77)), gotten(shadow, 77));
          for (const event of events) {
            expectSame([event.version, event.clientToken], [shadow.version, command.clientToken]);
          }
        });
      }),
      { numRuns: 600 },
    );
  });

  it('keeps delta, sizes and metadata as if they were made anew after every command', () => {
    fc.assert(
      fc.property(history, (steps) => {
        live(steps, RECORD, ({ replica }) => expectConsistent(replica));
      }),
      { numRuns: 600 },
    );
  });

  it('skips with UNCHANGED_UPDATES=skip just what changes nothing, and answers it without recording', () => {
    fc.assert(
      fc.property(history, (steps) => {
        let version = 0;
        live(
          steps.map((step) => ({ ...step, versionOff: undefined })),
          SKIP,
          ({ command, before, verdict, events, response, replica }) => {
            if (command.kind === 'delete' || !('shadow' in verdict)) return;
            const { reported, desired } = verdict.shadow;
            const isUnchanged =
              before.exists && canonical(stateOf(before)) === canonical(stateOf(verdict.shadow));
            // A named command is recorded whatever it changes, so that its name is remembered.
            const isNamed = command.origin.messageId !== undefined;
            expectSame(events.length === 0, isUnchanged && !isNamed);
            expectSame([replica.reported, replica.desired], [reported, desired]);
            const state = parse(response?.accepted) as { state: Json; version: number };
            expectSame(state.state, command.state);
            expectSame(state.version, replica.version);
            expectSame(replica.version, events.length === 0 ? version : version + 1);
            version = replica.version;
            expectSame(response?.delta !== undefined || Object.keys(replica.delta).length === 0, true);
            expectConsistent(replica);
          },
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('Any patch on any section', () => {
  const merged = (
    target: JsonObject,
    meta: MetaObject,
    change: JsonObject | null,
    by: JsonObject,
  ): JsonObject => {
    const after = copy(target);
    merge(after, meta, by, 2, change);
    return after;
  };
  const metaOf = (target: JsonObject): MetaObject => {
    const meta: MetaObject = {};
    merge({}, meta, target, 1, null);
    return meta;
  };

  it('merges as RFC 7396 says', () => {
    fc.assert(
      fc.property(section, patch, (target, by) => {
        expectSame(merged(target, metaOf(target), null, by), mergePatch(target, by));
      }),
      { numRuns: 2_000 },
    );
  });

  it('grows the section by what growth says', () => {
    fc.assert(
      fc.property(section, patch, (target, by) => {
        const bytes = (value: Json): number => Buffer.byteLength(JSON.stringify(value));
        expectSame(growth(target, by), bytes(mergePatch(target, by)) - bytes(target));
      }),
      { numRuns: 2_000 },
    );
  });

  it('changes just what the change says, which is empty only where nothing changed', () => {
    fc.assert(
      fc.property(section, patch, (target, by) => {
        const change: JsonObject = {};
        const after = merged(target, metaOf(target), change, by);
        expectSame(canonical(mergePatch(target, change)), canonical(after));
        expectSame(canonical(change), canonical(changeOf(target, after)));
        expectSame(Object.keys(change).length === 0, canonical(target) === canonical(after));
        expectSame(wouldChange(target, by), canonical(target) !== canonical(after));
      }),
      { numRuns: 2_000 },
    );
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(section, patch, (target, by) => {
        expect(wouldChange(merged(target, metaOf(target), null, by), by)).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(['desired', 'reported'] as const)('into %s refreshes the delta as if it were made anew', (side) => {
    fc.assert(
      fc.property(section.map(copy), section.map(copy), patch, (desired, reported, by) => {
        const delta = diff(desired, reported);
        if (side === 'desired') merge(desired, metaOf(desired), by, 2, null);
        else merge(reported, metaOf(reported), by, 2, null);
        refreshDelta(delta, desired, reported, by);
        expectSame(delta, deltaOf(desired, reported));
      }),
      { numRuns: 2_000 },
    );
  });
});
