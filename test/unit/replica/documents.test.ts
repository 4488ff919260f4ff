import { describe, expect, it } from '@jest/globals';
import {
  acceptedDocument,
  currentDelta,
  getDocument,
  rejectedDocument,
} from '../../../src/replica/documents.js';
import { type Replica } from '../../../src/replica/replica.js';
import { given, remove, update } from '../support/scenario.js';

const at = (timestamp: number): { timestamp: number } => ({ timestamp });

describe('The accepted document', () => {
  it('has only the sections and keys of the request, nulls included', () => {
    const device = given(update({ reported: { a: 1, b: 2 }, desired: { a: 1 } }));
    const { accepted } = device.when(update({ reported: { b: null, c: { d: [1, 'x'], e: null, f: {} } } }));
    expect(accepted).toStrictEqual({
      state: { reported: { b: null, c: { d: [1, 'x'], e: null, f: {} } } },
      metadata: { reported: { b: at(200), c: { d: [at(200), at(200)], e: at(200), f: {} } } },
      version: 2,
      timestamp: 200,
    });
  });

  it('has both sections of the request', () => {
    const { accepted } = given().when(update({ desired: { d: 1 }, reported: {} }));
    expect(accepted).toStrictEqual({
      state: { reported: {}, desired: { d: 1 } },
      metadata: { reported: {}, desired: { d: at(100) } },
      version: 1,
      timestamp: 100,
    });
  });

  it('has the client token, where there was one', () => {
    expect(given().when(update({}, { clientToken: 'é"\\' })).accepted?.clientToken).toBe('é"\\');
    expect(given().when(update({}, { clientToken: '' })).accepted).toHaveProperty('clientToken', '');
    expect(given().when(update({})).accepted).not.toHaveProperty('clientToken');
  });

  it('says null for a section that was removed', () => {
    expect(given().when(update({ desired: null })).accepted).toMatchObject({
      state: { desired: null },
      metadata: { desired: at(100) },
    });
  });

  it('says null where the request’s state was null', () => {
    expect(given().when(update(null)).accepted).toStrictEqual({
      state: null,
      metadata: at(100),
      version: 1,
      timestamp: 100,
    });
  });

  it('says {} where the request’s state was {}', () => {
    expect(given().when(update({})).accepted).toStrictEqual({
      state: {},
      metadata: {},
      version: 1,
      timestamp: 100,
    });
  });

  it('has metadata for the objects of an array', () => {
    const { accepted } = given().when(update({ reported: { a: [{ b: 1 }, [2], [], {}] } }));
    expect(accepted?.metadata).toStrictEqual({ reported: { a: [{ b: at(100) }, [at(100)], [], {}] } });
  });

  it('cannot be made of nothing', () => {
    expect(() => acceptedDocument([])).toThrow('at least one event');
  });
});

describe('The documents document', () => {
  it('has null for what was there before the first update', () => {
    const { documents } = given().when(update({ reported: { a: [1] } }, { clientToken: 't' }));
    expect(documents).toStrictEqual({
      previous: null,
      current: { state: { reported: { a: [1] } }, metadata: { reported: { a: [at(100)] } }, version: 1 },
      timestamp: 100,
      clientToken: 't',
    });
  });

  it('has state, metadata and version before and after', () => {
    const { documents } = given(update({ reported: { a: 1 } })).when(update({ desired: { b: 2 } }));
    expect(documents).toStrictEqual({
      previous: { state: { reported: { a: 1 } }, metadata: { reported: { a: at(100) } }, version: 1 },
      current: {
        state: { reported: { a: 1 }, desired: { b: 2 } },
        metadata: { reported: { a: at(100) }, desired: { b: at(200) } },
        version: 2,
      },
      timestamp: 200,
    });
  });

  it('has null before the first update after a delete', () => {
    const { documents } = given(update({ reported: { a: 1 } }), remove()).when(update({}));
    expect(documents).toStrictEqual({
      previous: null,
      current: { state: {}, metadata: {}, version: 2 },
      timestamp: 300,
    });
  });
});

describe('The answer to a get', () => {
  const replica = (): Replica =>
    given(update({ reported: { a: 1, b: [1] } })).when(
      update({ desired: { a: 2, b: [1], toString: { x: 1 } } }),
    ).replica;

  it('has desired, reported and delta, with the metadata of each', () => {
    expect(JSON.parse(getDocument(replica(), 999, 'token'))).toStrictEqual({
      state: {
        desired: { a: 2, b: [1], toString: { x: 1 } },
        reported: { a: 1, b: [1] },
        delta: { a: 2, toString: { x: 1 } },
      },
      metadata: {
        desired: { a: at(200), b: [at(200)], toString: { x: at(200) } },
        reported: { a: at(100), b: [at(100)] },
        delta: { a: at(200), toString: { x: at(200) } },
      },
      version: 2,
      timestamp: 999,
      clientToken: 'token',
    });
  });

  it('for the delta alone has what is outstanding', () => {
    expect(JSON.parse(currentDelta(replica(), 999) ?? '')).toStrictEqual({
      state: { a: 2, toString: { x: 1 } },
      metadata: { a: at(200), toString: { x: at(200) } },
      version: 2,
      timestamp: 999,
    });
  });

  it('for the delta alone is null where nothing is outstanding', () => {
    expect(currentDelta(given().when(update({ reported: { a: 1 } })).replica, 999)).toBeNull();
  });
});

describe('The rejected document', () => {
  it('has code, message and time', () => {
    expect(JSON.parse(rejectedDocument({ code: 400, message: `it's "so"\n` }, 5))).toStrictEqual({
      code: 400,
      message: `it's "so"\n`,
      timestamp: 5,
    });
  });

  it('has the client token, where it could be read', () => {
    expect(JSON.parse(rejectedDocument({ code: 409, message: 'x' }, 5, 't'))).toHaveProperty(
      'clientToken',
      't',
    );
  });
});
