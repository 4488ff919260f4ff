import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { recognise, recogniseById } from '../../../src/replica/decide.js';
import { getDocument, snapshotDocument } from '../../../src/replica/documents.js';
import { countBytes, evolve } from '../../../src/replica/evolve.js';
import { type JsonObject } from '../../../src/replica/json.js';
import { emptyReplica, REMEMBERED_COMMANDS, type Replica } from '../../../src/replica/replica.js';
import { pack, unpack } from '../../../src/replica/packed.js';
import { decodeSnapshot, encodeSnapshot, SNAPSHOT_SCHEMA_VERSION } from '../../../src/replica/snapshot.js';
import { history } from '../support/arbitraries.js';
import { commandFor, live } from '../support/model.js';
import {
  commandOf,
  execute,
  expectSame,
  origin,
  RECORD,
  SKIP,
  update,
  withLimit,
} from '../support/scenario.js';

const fromSnapshot = (replica: Replica): Replica => {
  const decoded = decodeSnapshot(encodeSnapshot(replica), replica.deviceId);
  if (decoded === null) throw new Error(`not decoded: ${encodeSnapshot(replica)}`);
  return decoded;
};

const fromPacked = (replica: Replica): Replica => unpack(pack(replica), replica.deviceId);

/** All of a replica as text, in which the order of keys counts. */
const exactly = (replica: Replica): string =>
  JSON.stringify([
    { ...replica, sources: [...replica.sources], commands: replica.commands && [...replica.commands] },
    snapshotDocument(replica),
    replica.exists ? getDocument(replica, 7) : null,
  ]);

/** Which nodes of the delta are the desired object itself: what `refreshDelta` decides by. */
function sharing(delta: JsonObject, desired: JsonObject): unknown {
  return Object.entries(delta).map(([key, node]) => {
    const wanted = desired[key];
    if (typeof node !== 'object' || node === null || Array.isArray(node)) return [key];
    return [key, node === wanted, node === wanted ? [] : sharing(node, wanted as JsonObject)];
  });
}

const options = fc.constantFrom(RECORD, SKIP, withLimit(60), withLimit(150));

describe.each([
  ['from a snapshot', fromSnapshot],
  ['that was packed', fromPacked],
])('A replica %s', (_, restored) => {
  it('is the replica that was saved, to the order of its keys', () => {
    fc.assert(
      fc.property(history, options, (steps, how) => {
        live(steps, how, ({ replica }) => {
          const again = restored(replica);
          expectSame(exactly(again), exactly(replica));
          expectSame(again, replica);
          expectSame(sharing(again.delta, again.desired), sharing(replica.delta, replica.desired));
          expectSame(encodeSnapshot(again), encodeSnapshot(replica));
        });
      }),
      { numRuns: 500 },
    );
  });

  it('decides and answers every later command as the other does, byte for byte', () => {
    fc.assert(
      fc.property(history, history, options, fc.boolean(), (before, after, how, isCounted) => {
        const one = live(before, how, () => undefined);
        if (isCounted) countBytes(one);
        let other = restored(one);
        after.forEach((step, index) => {
          const command = commandFor(step, one.version, before.length + index);
          for (const from of [command.origin, origin(index), origin(index, { log: 'second-life' })]) {
            expectSame(recognise(other, from), recognise(one, from));
            expectSame(recogniseById(other, from), recogniseById(one, from));
          }
          const first = execute(one, command, step.now, how);
          expectSame(execute(other, command, step.now, how), first);
          expectSame(exactly(other), exactly(one));
          if (index % 3 === 2) other = restored(other);
        });
      }),
      { numRuns: 500 },
    );
  });

  it('keeps all marks of its partitions and the order of its remembered commands', () => {
    const replica = emptyReplica('d1');
    for (let n = 0; n < REMEMBERED_COMMANDS + 20; n++) {
      const log = n < 100 ? 'first-life' : 'second-life';
      const from = origin(n % 90, { partition: n % 3, log }, { messageId: `m${n % 270}` });
      execute(replica, commandOf(update({ reported: { n } }), from), n, RECORD);
    }
    const again = restored(replica);
    expect([...again.sources]).toEqual([...replica.sources]);
    expect([...(again.commands ?? [])]).toEqual([...(replica.commands ?? [])]);
    expect(again.commands?.size).toBe(REMEMBERED_COMMANDS);
  });

  it('knows no size where the replica knew none', () => {
    const replica = emptyReplica('d1');
    const event = { type: 'DesiredStateChanged', version: 1, timestamp: 1, state: { a: 1 } } as const;
    evolve(replica, event, origin(0), 0);
    expect(restored(replica)).toEqual(replica);
    expect(restored(replica)).toMatchObject({ desiredBytes: -1, bytesAtMost: Infinity });
  });

  it('has the characters that it had, in names and values', () => {
    const replica = emptyReplica('d1');
    const state = { 'Ärger\u2028': 'é\\u0041"\n', 温度: ['高', '😀'], '\u00ff': '\u0100', a: '\u001f' };
    execute(replica, commandOf(update({ reported: state, desired: state }), origin(0)), 1, RECORD);
    expectSame(exactly(restored(replica)), exactly(replica));
  });
});

describe('A packed replica', () => {
  it('takes one byte for each character, whatever characters are in it', () => {
    const replica = emptyReplica('d1');
    const state = { 温度: '高'.repeat(10), ascii: 'x'.repeat(10_000) };
    execute(replica, commandOf(update({ reported: state }), origin(0)), 1, RECORD);
    expect(pack(replica)).toMatch(/^[\0-\xff]+$/);
    expect(pack(replica).length).toBeLessThan(10_500);
  });

  it('keeps the time of each leaf, whichever were set together', () => {
    const replica = emptyReplica('d1');
    const states: JsonObject[] = [
      { a: 1, b: { c: 1, d: [1], e: {} }, f: 1 },
      { b: { d: [2] }, g: 1 },
      { a: 2, b: { c: 2 } },
    ];
    states.forEach((reported, index) => {
      const step = update({ reported, desired: { a: index, b: { e: index } } });
      execute(replica, commandOf(step, origin(index)), 100 * (index + 1), RECORD);
    });
    expect(fromPacked(replica)).toEqual(replica);
    expect(fromPacked(replica).reportedMeta).toEqual({
      a: 300,
      b: { c: 300, d: 200, e: {} },
      f: 100,
      g: 200,
    });
  });
});

describe('A text that is not a snapshot of this version and device', () => {
  const snapshotted = (): Replica => {
    const replica = emptyReplica('d1');
    const step = update({ reported: { a: { b: 1 } }, desired: { a: { b: 2, c: [1] }, d: {} } });
    execute(replica, commandOf(step, origin(0, {}, { messageId: 'm' })), 5, RECORD);
    return replica;
  };
  const written = (): string => encodeSnapshot(snapshotted());
  const mark = {
    offset: 0,
    timestamp: 1_000,
    fingerprint: 'update:0',
    log: 'first-life',
    maxOffset: 0,
    maxTimestamp: 1_000,
    priorOffset: -1,
    priorTimestamp: -1,
  };
  const changed = (change: Record<string, unknown>) => (): string =>
    JSON.stringify({ ...(JSON.parse(written()) as object), ...change });

  it.each([
    ['nothing', () => ''],
    ['no JSON', () => written().slice(0, -1)],
    ['no object', () => '[]'],
    ['null', () => 'null'],
    ['a newer schema', changed({ schema: SNAPSHOT_SCHEMA_VERSION + 1 })],
    ['an older schema', changed({ schema: SNAPSHOT_SCHEMA_VERSION - 1 })],
    ['another device', changed({ deviceId: 'd2' })],
    ['a version that is no number', changed({ version: '1' })],
    ['a revision that is a fraction', changed({ revision: 0.5 })],
    ['no time', changed({ timestamp: undefined })],
    ['no exists', changed({ exists: undefined })],
    ['a section that is no object', changed({ desired: [] })],
    ['metadata that lacks a key', changed({ reportedMeta: {} })],
    ['metadata that has a key more', changed({ reportedMeta: { a: { b: 5, c: 5 } } })],
    ['metadata that has a number for an object', changed({ reportedMeta: { a: 5 } })],
    ['metadata that has an object for a number', changed({ reportedMeta: { a: { b: {} } } })],
    ['a delta that lacks a key', changed({ delta: { a: { b: 0, c: 0 } } })],
    ['a delta with another key', changed({ delta: { a: { b: 0, c: 0 }, e: 0 } })],
    ['a delta whose node is none', changed({ delta: { a: 0, d: 0 } })],
    ['no delta', changed({ delta: undefined })],
    ['sizes that are not four', changed({ bytes: [1, 2, 3] })],
    ['sizes that are more than four', changed({ bytes: [1, 2, 3, 4, 5] })],
    ['sizes that are no numbers', changed({ bytes: [1, '2', 3, 4] })],
    ['a bound that is no number', changed({ bytes: [1, 2, '3', 4] })],
    ['no sources', changed({ sources: undefined })],
    ['a source without its mark', changed({ sources: [['state.update/0', {}]] })],
    ['a source that is no pair', changed({ sources: ['state.update/0'] })],
    ['a source that is a number', changed({ sources: [5] })],
    ['a source without a name', changed({ sources: [[5, mark]] })],
    ['a source with null for its mark', changed({ sources: [['state.update/0', null]] })],
    ...Object.keys(mark).map((name): [string, () => string] => [
      `a mark whose ${name} is true`,
      changed({ sources: [['state.update/0', { ...mark, [name]: true }]] }),
    ]),
    ['a command that is no pair', changed({ commands: [5] })],
    ['a command without an id', changed({ commands: [[5, 'update:0']] })],
    ['commands that are no list', changed({ commands: {} })],
    ['commands that are no texts', changed({ commands: [['m', 1]] })],
  ])('is not used: %s', (_, wrong) => {
    expect(decodeSnapshot(wrong(), 'd1')).toBeNull();
  });

  it('is not one that is right', () => {
    expect([...snapshotted().sources]).toStrictEqual([['state.update/0', mark]]);
    expect(decodeSnapshot(written(), 'd1')).toEqual(snapshotted());
  });

  it('never makes more trouble than that', () => {
    const text = written();
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), fc.string({ maxLength: 3 }), (at, by) => {
        const decoded = decodeSnapshot(text.slice(0, at) + by + text.slice(at + 1), 'd1');
        if (decoded !== null) expect(() => exactly(decoded)).not.toThrow();
      }),
      { numRuns: 3000 },
    );
    fc.assert(fc.property(fc.json(), (json) => decodeSnapshot(json, 'd1') === null));
  });
});
