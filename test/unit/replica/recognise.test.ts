import { describe, expect, it } from '@jest/globals';
import { isRecordedAs, recognise } from '../../../src/replica/decide.js';
import { evolve } from '../../../src/replica/evolve.js';
import { type Origin } from '../../../src/replica/events.js';
import { emptyReplica, REMEMBERED_COMMANDS, type Replica } from '../../../src/replica/replica.js';
import { origin } from '../support/scenario.js';

/** A replica in which commands of these origins were recorded, in this order. */
function recorded(...origins: Origin[]): Replica {
  const replica = emptyReplica('d1');
  origins.forEach((from, index) => {
    const version = index + 1;
    evolve(replica, { type: 'ReportedStateChanged', version, timestamp: 1, state: {} }, from, index);
  });
  return replica;
}

const kindOf = (replica: Replica, from: Origin): string => recognise(replica, from).kind;

describe('The mark of a partition', () => {
  const markOf = (...origins: Origin[]): unknown => recorded(...origins).sources.get('state.update/0');
  const first = {
    offset: 4,
    timestamp: 1_004,
    fingerprint: 'update:4',
    log: 'first-life',
    maxOffset: 4,
    maxTimestamp: 1_004,
    priorOffset: -1,
    priorTimestamp: -1,
  };

  it('is the place of its first command', () => {
    expect(markOf(origin(4))).toStrictEqual(first);
  });

  it('is the place of the command that is furthest in the log', () => {
    const second = {
      offset: 5,
      timestamp: 1_005,
      fingerprint: 'update:5',
      maxOffset: 5,
      maxTimestamp: 1_005,
    };
    expect(markOf(origin(4), origin(5))).toStrictEqual({ ...first, ...second });
    expect(markOf(origin(5), origin(4))).toStrictEqual({ ...first, ...second });
  });

  it('is that of the latest of two commands at one place', () => {
    const again = origin(4, { timestamp: 2_000 }, { fingerprint: 'update:other' });
    expect(markOf(origin(4), again)).toMatchObject({ timestamp: 2_000, fingerprint: 'update:other' });
  });

  it('keeps how far the logs before were read', () => {
    const second = origin(1, { timestamp: 2_000, log: 'second-life' });
    expect(markOf(origin(4), second)).toStrictEqual({
      offset: 1,
      timestamp: 2_000,
      fingerprint: 'update:1',
      log: 'second-life',
      maxOffset: 4,
      maxTimestamp: 2_000,
      priorOffset: 4,
      priorTimestamp: 1_004,
    });
  });
});

describe('A recorded command', () => {
  const place = { offset: 4, timestamp: 1_004 };
  const mark = { ...place, fingerprint: 'update:4' };

  it('is known by offset, time and fingerprint together', () => {
    expect(isRecordedAs(mark, place, 'update:4')).toBe(true);
    expect(isRecordedAs(mark, { ...place, offset: 5 }, 'update:4')).toBe(false);
    expect(isRecordedAs(mark, { ...place, timestamp: 1_005 }, 'update:4')).toBe(false);
    expect(isRecordedAs(mark, place, 'update:5')).toBe(false);
  });
});

describe('A command is recognised by its place', () => {
  it('as new where nothing was recorded', () => {
    expect(kindOf(emptyReplica('d1'), origin(0))).toBe('new');
  });

  it('as new at a later offset of its partition', () => {
    expect(kindOf(recorded(origin(4)), origin(5))).toBe('new');
  });

  it('as a repeat at the same offset, timestamp and fingerprint', () => {
    expect(kindOf(recorded(origin(3), origin(4)), origin(4))).toBe('repeat');
  });

  it('as a repeat also where the log bears another name', () => {
    expect(kindOf(recorded(origin(4)), origin(4, { log: 'second-name' }))).toBe('repeat');
  });

  it('as past at an earlier offset of the same log, whatever its time', () => {
    const replica = recorded(origin(4));
    expect(kindOf(replica, origin(3))).toBe('past');
    expect(kindOf(replica, origin(3, { timestamp: 9_999 }))).toBe('past');
  });

  it('as past at the same offset of the same log with another value', () => {
    expect(kindOf(recorded(origin(4)), origin(4, {}, { fingerprint: 'update:other' }))).toBe('past');
  });

  it('as new in a topic made anew: a lower offset with a later timestamp', () => {
    expect(kindOf(recorded(origin(4)), origin(0, { log: 'second-life', timestamp: 2_000 }))).toBe('new');
  });

  it('as new in a topic made anew: the same offset and value with a later timestamp', () => {
    const again = origin(4, { log: 'second-life', timestamp: 2_000 });
    expect(kindOf(recorded(origin(4)), again)).toBe('new');
  });

  it('as past in another log at a timestamp that was reached before', () => {
    const replica = recorded(origin(3, { timestamp: 5_000 }), origin(4, { timestamp: 4_000 }));
    expect(kindOf(replica, origin(3, { log: 'second-life', timestamp: 5_000 }))).toBe('past');
    expect(kindOf(replica, origin(3, { log: 'second-life', timestamp: 5_001 }))).toBe('new');
  });

  it('as new in another log beyond all offsets', () => {
    expect(kindOf(recorded(origin(4)), origin(5, { log: 'second-life', timestamp: 1 }))).toBe('new');
  });

  it('as new at an offset of a second life that only the first life had reached', () => {
    const second = { log: 'second-life', timestamp: 2_000 };
    expect(kindOf(recorded(origin(9), origin(0, second)), origin(1, second))).toBe('new');
  });

  it('as past at an earlier offset of a second life', () => {
    const second = { log: 'second-life', timestamp: 2_000 };
    expect(kindOf(recorded(origin(9), origin(4, second)), origin(3, second))).toBe('past');
  });

  it('as past where it comes again from the first life after the second began', () => {
    const replica = recorded(origin(8), origin(9), origin(0, { log: 'second-life', timestamp: 2_000 }));
    expect(kindOf(replica, origin(8))).toBe('past');
  });

  it('as past where an earlier offset of the same log was recorded after it', () => {
    expect(kindOf(recorded(origin(5), origin(9), origin(3)), origin(5))).toBe('past');
  });

  it('as past where the log was given another name and an earlier offset was recorded under that', () => {
    const renamed = { log: 'second-name' };
    const replica = recorded(origin(5), origin(9), origin(3, renamed));
    expect(kindOf(replica, origin(5, renamed))).toBe('past');
  });

  it('as new in another partition or topic', () => {
    expect(kindOf(recorded(origin(4)), origin(4, { partition: 1 }))).toBe('new');
    expect(kindOf(recorded(origin(4)), origin(4, { topic: 'state.delete' }))).toBe('new');
  });

  it('in each partition for itself', () => {
    const replica = recorded(origin(4), origin(2, { partition: 1 }), origin(7, { topic: 'state.delete' }));
    expect(kindOf(replica, origin(4))).toBe('repeat');
    expect(kindOf(replica, origin(2, { partition: 1 }))).toBe('repeat');
    expect(kindOf(replica, origin(3, { partition: 1 }))).toBe('new');
    expect(kindOf(replica, origin(6, { topic: 'state.delete' }))).toBe('past');
  });

  it('also when what it caused was a delete', () => {
    const replica = recorded(origin(1));
    evolve(replica, { type: 'ReplicaDeleted', version: 1, timestamp: 2 }, origin(2), 1);
    expect(kindOf(replica, origin(2))).toBe('repeat');
    expect(kindOf(replica, origin(1))).toBe('past');
  });
});

describe('A command is recognised by its message id', () => {
  const sent = (offset: number, messageId: string, fingerprint = 'update:body'): Origin =>
    origin(offset, {}, { messageId, fingerprint });

  it('as a repeat at another offset', () => {
    expect(kindOf(recorded(sent(4, 'm')), sent(5, 'm'))).toBe('repeat');
  });

  it('as a repeat over another topic', () => {
    const rest = origin(0, { topic: 'rest' }, { messageId: 'm', fingerprint: 'update:body' });
    expect(kindOf(recorded(sent(4, 'm')), rest)).toBe('repeat');
  });

  it('as new with another id and the same body', () => {
    expect(kindOf(recorded(sent(4, 'm')), sent(5, 'n'))).toBe('new');
  });

  it('as new without an id', () => {
    expect(kindOf(recorded(sent(4, 'm')), origin(5, {}, { fingerprint: 'update:body' }))).toBe('new');
  });

  it('as reused with another body: a 409', () => {
    expect(recognise(recorded(sent(4, 'm')), sent(5, 'm', 'update:other'))).toStrictEqual({
      kind: 'reused',
      refusal: { code: 409, message: "Message id was used before with another body: 'm'" },
    });
  });

  it('whatever name it has', () => {
    expect(kindOf(recorded(sent(4, 'm')), sent(5, 'toString'))).toBe('new');
    expect(kindOf(recorded(sent(4, '__proto__')), sent(5, '__proto__'))).toBe('repeat');
  });

  it('over the last 256 commands, also over a delete', () => {
    const origins = Array.from({ length: REMEMBERED_COMMANDS }, (_, i) => sent(i, `m${i}`));
    const replica = recorded(...origins);
    evolve(replica, { type: 'ReplicaDeleted', version: 256, timestamp: 2 }, origin(256), 256);
    expect(REMEMBERED_COMMANDS).toBe(256);
    expect(kindOf(replica, sent(300, 'm0'))).toBe('repeat');
    expect(kindOf(replica, sent(300, 'm255'))).toBe('repeat');
  });

  it('no longer once 256 commands came after it', () => {
    const origins = Array.from({ length: REMEMBERED_COMMANDS + 1 }, (_, i) => sent(i, `m${i}`));
    const replica = recorded(...origins);
    expect(kindOf(replica, sent(300, 'm0'))).toBe('new');
    expect(kindOf(replica, sent(300, 'm1'))).toBe('repeat');
    expect(replica.commands?.size).toBe(256);
  });

  it('once for the two events of one command', () => {
    const replica = recorded(sent(0, 'm'), sent(0, 'm'), sent(1, 'n'));
    expect([...(replica.commands?.keys() ?? [])]).toStrictEqual(['m', 'n']);
  });
});
