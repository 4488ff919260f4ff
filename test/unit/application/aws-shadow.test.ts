import { describe, expect, it } from '@jest/globals';
import {
  emptyShadowDelta,
  replicaOfShadow,
  shadowDocument,
  shadowOfReplica,
} from '../../../src/application/aws-shadow.js';

const shown = (channel: Parameters<typeof shadowDocument>[0], document: object, id = 'lamp'): unknown =>
  JSON.parse(shadowDocument(channel, id, JSON.stringify(document)) ?? 'null');
const ms = 1_795_521_815_075;
const s = 1_795_521_815;

describe('names of shadows', () => {
  it.each([
    ['lamp', undefined, 'lamp'],
    ['lamp', '', 'lamp'],
    ['lamp', 'config', 'lamp/name/config'],
    ['lamp', '$pkg', 'lamp/name/$pkg'],
  ])('%s %s is the replica %s', (thing, shadow, id) => {
    expect(replicaOfShadow(thing, shadow)).toBe(id);
    expect(shadowOfReplica(id)).toEqual({ thing, shadow: shadow === '' ? undefined : shadow });
  });

  it.each([
    ['', undefined],
    ['a/name/b', undefined],
    ['a', 'b/c'],
    ['..', undefined],
    ['a', '..'],
    ['a b', undefined],
    ['a', 'b c'],
  ])('%j %j are none', (thing, shadow) => {
    expect(replicaOfShadow(thing, shadow)).toBeNull();
  });
});

describe('a shadow document', () => {
  it('has its times in seconds, also those of keys and arrays that look like metadata', () => {
    const document = {
      state: { reported: { timestamp: 5, on: true, list: [1, { a: 2 }] } },
      metadata: {
        reported: {
          timestamp: { timestamp: ms },
          on: { timestamp: ms },
          list: [{ timestamp: ms }, { a: { timestamp: ms } }],
        },
      },
      version: 3,
      timestamp: ms,
      clientToken: 't',
    };
    expect(shown('update.accepted', document)).toEqual({
      state: document.state,
      metadata: {
        reported: {
          timestamp: { timestamp: s },
          on: { timestamp: s },
          list: [{ timestamp: s }, { a: { timestamp: s } }],
        },
      },
      version: 3,
      timestamp: s,
      clientToken: 't',
    });
  });

  it('of a delta has no changes, and is none where nothing is outstanding', () => {
    const delta = {
      state: { a: 1 },
      changed: { desired: { a: 1 } },
      metadata: { a: { timestamp: ms } },
      version: 2,
      timestamp: ms,
    };
    expect(shown('update.delta', delta)).toEqual({
      state: { a: 1 },
      metadata: { a: { timestamp: s } },
      version: 2,
      timestamp: s,
    });
    expect(shown('update.delta', { ...delta, state: {}, metadata: {} })).toBeNull();
  });

  it('of a get has the delta in its state alone', () => {
    const metadata = { desired: { a: { timestamp: ms } }, delta: { a: { timestamp: ms } } };
    const state = { desired: { a: 1 }, delta: { a: 1 } };
    expect(shown('get.accepted', { state, metadata, version: 1, timestamp: ms })).toEqual({
      state,
      metadata: { desired: { a: { timestamp: s } } },
      version: 1,
      timestamp: s,
    });
  });

  it('of the whole states has an empty one where there was none', () => {
    const current = {
      state: { reported: { a: 1 } },
      metadata: { reported: { a: { timestamp: ms } } },
      version: 1,
    };
    expect(shown('update.documents', { previous: null, current, timestamp: ms, clientToken: 't' })).toEqual({
      previous: { state: {}, metadata: {} },
      current: { ...current, metadata: { reported: { a: { timestamp: s } } } },
      timestamp: s,
      clientToken: 't',
    });
  });

  it('of a delete has version and time', () => {
    expect(shown('delete.accepted', { version: 4, timestamp: ms })).toEqual({ version: 4, timestamp: s });
  });

  it.each([
    ['lamp', 'lamp'],
    ['lamp/name/config', 'config'],
  ])('of a refusal for %s names the shadow %s', (id, name) => {
    const document = { code: 404, message: 'No state exists', timestamp: ms, clientToken: 't' };
    expect(shown('get.rejected', document, id)).toEqual({
      code: 404,
      message: `No shadow exists with name: '${name}'`,
      timestamp: s,
      clientToken: 't',
    });
    for (const [code, message] of [
      [403, 'Forbidden'],
      [413, 'The payload exceeds the maximum size allowed'],
      [415, 'Unsupported documented encoding; supported encoding is UTF-8'],
    ] as const) {
      expect(shown('update.rejected', { code, message: 'of ours', timestamp: ms }, id)).toMatchObject({
        message,
      });
    }
    expect(shown('update.rejected', { code: 409, message: 'Version conflict', timestamp: ms }, id)).toEqual({
      code: 409,
      message: 'Version conflict',
      timestamp: s,
    });
  });

  it('says that nothing is outstanding where a broker must be told', () => {
    const document = { state: {}, changed: { reported: { a: 1 } }, metadata: {}, version: 2, timestamp: ms };
    expect(shown('update.delta', document)).toBeNull();
    expect(JSON.parse(emptyShadowDelta(JSON.stringify(document)))).toEqual({
      state: {},
      metadata: {},
      version: 2,
      timestamp: s,
    });
  });
});
