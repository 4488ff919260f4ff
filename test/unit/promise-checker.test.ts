import { describe, expect, it } from '@jest/globals';
import {
  brokenPromises,
  type SeenEvent,
  type SeenOutput,
  type SentCommand,
} from '../support/promise-checker.js';

const commands: SentCommand[] = [
  { token: 'a', deviceId: 'd', expected: 'accepted' },
  { token: 'b', deviceId: 'd', expected: 'rejected' },
  { token: 'c', deviceId: 'd', expected: 'accepted' },
];
const accepted = (clientToken: string, version: number, timestamp = 1): SeenOutput => ({
  deviceId: 'd',
  channel: 'accepted',
  value: JSON.stringify({ version, timestamp, clientToken }),
});
const rejected = (clientToken: string, timestamp = 1): SeenOutput => ({
  deviceId: 'd',
  channel: 'rejected',
  value: JSON.stringify({ code: 409, timestamp, clientToken }),
});
const outputs = [accepted('a', 1), rejected('b'), accepted('c', 2)];
const event = (token: string, version: number): SeenEvent => ({ deviceId: 'd', version, token });
const events = [event('a', 1), event('c', 2)];

describe('the checker of promises', () => {
  it('finds nothing where all were kept, also where outputs came again', () => {
    expect(brokenPromises(commands, outputs, events)).toEqual([]);
    expect(brokenPromises(commands, [...outputs, ...outputs], events)).toEqual([]);
  });

  it.each<[string, SeenOutput[], SeenEvent[], RegExp]>([
    ['a gap in the store', outputs, [event('a', 1), event('c', 3)], /from version 1 to 3/],
    ['a version twice', outputs, [event('a', 1), event('c', 1)], /from version 1 to 1/],
    ['a command twice', outputs, [...events, event('a', 3)], /a is recorded twice/],
    ['a lost command', [accepted('a', 1), rejected('b')], [event('a', 1)], /c is not recorded/],
    ['a refused command that was recorded', outputs, [...events, event('b', 3)], /b is recorded/],
    ['an unanswered command', [accepted('a', 1), accepted('c', 2)], events, /b was not rejected/],
    ['two answers', [...outputs, accepted('b', 3)], events, /b was accepted/],
    ['an answer that changed', [...outputs, accepted('a', 1, 2)], events, /accepted a came again/],
    ['a refusal that changed', [...outputs, rejected('b', 2)], events, /rejected b came again/],
    [
      'a wrong version',
      [accepted('a', 2), rejected('b'), accepted('c', 2)],
      events,
      /says version 2, the store 1/,
    ],
    ['a skipped version', [rejected('b'), accepted('c', 2), accepted('a', 1)], events, /from version 0 to 2/],
  ])('finds %s', (_name, seen, recorded, message) => {
    expect(brokenPromises(commands, seen, recorded).join('\n')).toMatch(message);
  });
});
