import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { commandIdOf, deriveId, eventIdOf, fingerprintOf } from '../../../src/application/identity.js';
import { type SourcePosition } from '../../../src/application/ports/bus.js';

const UUID_V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const POSITION: SourcePosition = {
  topic: 'state.update',
  partition: 3,
  offset: 7,
  timestamp: 1000,
  log: 'l',
};

describe('a derived id', () => {
  it('is a UUID of version 5, in its canonical form', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        expect(deriveId(name)).toMatch(UUID_V5);
      }),
    );
  });

  it('never changes for a name: stored ids depend on it', () => {
    expect(deriveId('e/x/1/2/0')).toBe('c3616a7b-615f-569f-b9a4-59a9b78d4de9');
    expect(deriveId('')).toBe('77d69522-4d58-5dca-89a3-32adae1f1542');
  });
});

describe('a command’s id', () => {
  const fingerprint = fingerprintOf('update', Buffer.from('{}'));
  const id = (position: Partial<SourcePosition> = {}, messageId?: string, device = 'a'): string =>
    commandIdOf(device, { ...POSITION, ...position }, fingerprint, messageId);

  it('is its place and bytes, whatever the log is called', () => {
    expect(id()).toBe(id({ log: 'another' }));
    const others = [
      id({ topic: 'state.delete' }),
      id({ partition: 4 }),
      id({ offset: 8 }),
      id({ timestamp: 1001 }),
      commandIdOf('a', POSITION, fingerprintOf('update', Buffer.from('{ }')), undefined),
    ];
    expect(new Set([id(), ...others]).size).toBe(6);
  });

  it('is its message id and bytes where it has one, whatever its place', () => {
    expect(id({}, 'm')).toBe(id({ offset: 8, timestamp: 5, topic: 'x' }, 'm'));
    expect(new Set([id(), id({}, 'm'), id({}, 'n'), id({}, 'm', 'b')]).size).toBe(4);
  });
});

describe('an event’s id', () => {
  it('differs by command, version, time and index', () => {
    const ids = [
      eventIdOf('c', 1, 2, 0),
      eventIdOf('c', 1, 2, 1),
      eventIdOf('c', 1, 3, 0),
      eventIdOf('c', 2, 2, 0),
      eventIdOf('d', 1, 2, 0),
    ];
    expect(new Set(ids).size).toBe(5);
    expect(eventIdOf('c', 1, 2, 0)).toBe(ids[0]);
  });
});

describe('a fingerprint', () => {
  it('tells kinds and bytes apart, also no value from an empty one', () => {
    const prints = [
      fingerprintOf('update', Buffer.from('a')),
      fingerprintOf('delete', Buffer.from('a')),
      fingerprintOf('update', Buffer.from('b')),
      fingerprintOf('update', Buffer.alloc(0)),
      fingerprintOf('update', null),
    ];
    expect(new Set(prints).size).toBe(5);
  });
});
