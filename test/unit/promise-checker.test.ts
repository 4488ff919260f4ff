import { describe, expect, it } from '@jest/globals';
import {
  brokenPromises,
  type SeenEvent,
  type SeenOutput,
  type SentCommand,
} from '../support/promise-checker.js';

const commands: SentCommand[] = [
  { token: 'a', deviceId: 'd', expected: 'accepted', state: { reported: { n: 1 } } },
  { token: 'b', deviceId: 'd', expected: 'rejected', state: { reported: { n: 9 } } },
  { token: 'c', deviceId: 'd', expected: 'accepted', state: { desired: { n: 2 } } },
  { token: 'e', deviceId: 'd', expected: 'accepted', state: { desired: null } },
  { token: 'f', deviceId: 'd', expected: 'accepted', state: { reported: {} } },
  { token: 'x', deviceId: '/', expected: 'dead-letter', state: { reported: { n: 9 } } },
];
const output = (channel: SeenOutput['channel'], content: object, deviceId = 'd'): SeenOutput => ({
  deviceId,
  channel,
  value: JSON.stringify(content),
});
const accepted = (clientToken: string, version: number, timestamp = 1): SeenOutput =>
  output('accepted', { version, timestamp, clientToken });
const delta = (clientToken: string, version: number, state: object, timestamp = 1): SeenOutput =>
  output('delta', { state, version, timestamp, clientToken });
const rejected = (clientToken: string, timestamp = 1): SeenOutput =>
  output('rejected', { code: 409, timestamp, clientToken });
const deadLetter = output('dead-letter', { clientToken: 'x' }, '/');

const outputs = [
  accepted('a', 1),
  rejected('b'),
  accepted('c', 2),
  accepted('e', 3),
  accepted('f', 4),
  deadLetter,
  delta('a', 1, {}),
  delta('c', 2, { n: 2 }),
  delta('e', 3, {}),
];
const event = (token: string, version: number, deviceId = 'd'): SeenEvent => ({ deviceId, version, token });
const events = [event('a', 1), event('c', 2), event('e', 3), event('f', 4)];

const replaced = (channel: SeenOutput['channel'], token: string, ...by: SeenOutput[]): SeenOutput[] =>
  outputs.flatMap((seen) => (seen.channel === channel && seen.value.includes(`"${token}"`) ? by : [seen]));
const without = (channel: SeenOutput['channel'], token: string): SeenOutput[] => replaced(channel, token);

describe('the checker of promises', () => {
  it('finds nothing where all were kept, also where outputs came again', () => {
    expect(brokenPromises(commands, outputs, events)).toEqual([]);
    expect(brokenPromises(commands, [...outputs, ...outputs], events)).toEqual([]);
    const again = [...outputs, accepted('c', 2), accepted('e', 3), delta('c', 2, { n: 2 })];
    expect(brokenPromises(commands, again, events)).toEqual([]);
  });

  it.each<[string, SeenOutput[], SeenEvent[], RegExp]>([
    ['a gap in the store', outputs, [event('a', 1), event('c', 3)], /from version 1 to 3/],
    ['a version twice', outputs, [event('a', 1), event('c', 1)], /from version 1 to 1/],
    ['a command twice', outputs, [...events, event('a', 5)], /a is recorded twice/],
    ['a lost command', outputs, events.slice(0, 3), /f is not recorded/],
    ['a refused command that was recorded', outputs, [...events, event('b', 5)], /b is recorded/],
    ['an event of nobody', outputs, [...events, event('z', 5)], /d has something of nobody, z/],
    ['an event of another device', outputs, [...events, event('x', 5)], /d has what is x's/],
    ['an output of nobody', [...outputs, accepted('z', 5)], events, /d has something of nobody, z/],
    ['an unanswered command', without('rejected', 'b'), events, /b was not rejected/],
    ['a missing dead letter', without('dead-letter', 'x'), events, /x was not dead-letter/],
    ['two answers', [...outputs, accepted('b', 5)], events, /b was accepted/],
    ['an answer that changed', [...outputs, accepted('a', 1, 2)], events, /accepted a came again/],
    ['a refusal that changed', [...outputs, rejected('b', 2)], events, /rejected b came again/],
    ['a delta that changed', [...outputs, delta('a', 1, {}, 2)], events, /delta a came again/],
    ['a wrong version', replaced('accepted', 'a', accepted('a', 2)), events, /says version 2, the store 1/],
    [
      'a wrong version of a delta',
      replaced('delta', 'e', delta('e', 4, {})),
      events,
      /delta e says version 4, the store 3/,
    ],
    ['a delta that did not come', without('delta', 'e'), events, /delta e did not come/],
    ['a delta that was not due', [...outputs, delta('f', 4, {})], events, /delta f came for nothing/],
    ['a delta of a refusal', [...outputs, delta('b', 5, {})], events, /delta b is of nothing/],
    [
      'a delta that does not show what is outstanding',
      replaced('delta', 'c', delta('c', 2, {})),
      events,
      /delta c is \{\}, not \{"n":2\}/,
    ],
    [
      'disorder',
      [...without('accepted', 'a'), accepted('a', 1)],
      events,
      /accepted of d goes from version 0 to 2/,
    ],
    [
      'disorder of deltas',
      [...without('delta', 'a'), delta('a', 1, {})],
      events,
      /delta of d goes from version 0 to 2/,
    ],
    [
      'a repeat that leaves one out',
      [...outputs, accepted('a', 1), accepted('e', 3)],
      events,
      /accepted of d goes from version 1 to 3/,
    ],
  ])('finds %s', (_name, seen, recorded, message) => {
    expect(brokenPromises(commands, seen, recorded).join('\n')).toMatch(message);
  });

  it('holds what callers were told against the store', () => {
    const told = (token: string, version: number): string[] =>
      brokenPromises(commands, outputs, events, { acknowledged: [{ token, version }] });
    expect(told('c', 2)).toEqual([]);
    expect(told('c', 3)).toEqual(['callers: c was told version 3, the store has 2']);
    expect(told('b', 2)).toEqual(['callers: b was told version 2, the store has undefined']);
  });

  it('lets single outputs come again, late, where an instance stood still, but in no other order at first', () => {
    const check = (seen: SeenOutput[]): string =>
      brokenPromises(commands, seen, events, { repeats: 'anywhere' }).join('\n');
    expect(check([...outputs, accepted('a', 1), accepted('e', 3), delta('c', 2, { n: 2 })])).toBe('');
    expect(check([...outputs, accepted('e', 3, 2)])).toMatch(/accepted e came again/);
    expect(check([...without('accepted', 'a'), accepted('a', 1)])).toMatch(/from version 0 to 2/);
  });

  describe('of a topic that was deleted', () => {
    const lost = commands.map((command) => ({ ...command, mayBeLost: true }));

    it('lets commands be lost before they were recorded, or their answers after it', () => {
      expect(brokenPromises(lost, [], [])).toEqual([]);
      expect(brokenPromises(lost, [], events)).toEqual([]);
      expect(brokenPromises(lost, without('accepted', 'c'), events)).toEqual([]);
      expect(brokenPromises(lost, without('delta', 'c'), events)).toEqual([]);
    });

    it('lets repeats be cut short by the deletion, where all were there before', () => {
      const allButLast = commands.map((command) => ({ ...command, mayBeLost: command.token !== 'f' }));
      const withoutLast = without('accepted', 'f');
      const cutShort = [...withoutLast, accepted('a', 1), accepted('f', 4)];
      expect(brokenPromises(allButLast, cutShort, events)).toEqual([]);
      expect(brokenPromises(commands, cutShort, events).join('\n')).toMatch(/from version 1 to 4/);
      const notThereBefore = [accepted('a', 1), accepted('f', 4), accepted('c', 2), accepted('e', 3)];
      expect(brokenPromises(allButLast, notThereBefore, events).join('\n')).toMatch(/from version 1 to 4/);
    });

    it('finds what is wrong all the same', () => {
      const text = (seen: SeenOutput[], recorded: SeenEvent[]): string =>
        brokenPromises(lost, seen, recorded).join('\n');
      expect(text(outputs, events.slice(0, 3))).toMatch(/accepted f says version 4, the store undefined/);
      expect(text(outputs, [...events, event('a', 5)])).toMatch(/a is recorded twice/);
      expect(text([accepted('c', 2), accepted('a', 1)], events)).toMatch(/from version 0 to 2/);
    });
  });
});
