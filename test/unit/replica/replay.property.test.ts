import { describe, it } from '@jest/globals';
import fc from 'fast-check';
import { decide, recognise } from '../../../src/replica/decide.js';
import { evolve } from '../../../src/replica/evolve.js';
import { type Origin } from '../../../src/replica/events.js';
import { type JsonValue } from '../../../src/replica/json.js';
import { emptyReplica, type Replica } from '../../../src/replica/replica.js';
import { applyAndRespond } from '../../../src/replica/respond.js';
import { decodeStored, encodeData, encodeMetadata } from '../../../src/replica/stored.js';
import { history } from '../support/arbitraries.js';
import { commandFor, live, type Lived, withoutCounted } from '../support/model.js';
import { deepFreeze, execute, expectSame, origin, RECORD } from '../support/scenario.js';

/** What the store gives back of a command's events. */
const stored = ({ command, events }: Lived) =>
  events.map((event) =>
    decodeStored(
      event.type,
      JSON.parse(encodeData('d1', event).toString()) as JsonValue,
      JSON.parse(encodeMetadata(command.origin).toString()) as JsonValue,
    ),
  );

describe('A history read back from the store', () => {
  it('folds into the same replica', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const refolded = emptyReplica('d1');
        const lived = live(steps, RECORD, (each) => {
          stored(each).forEach(({ event, origin: from }, index) =>
            evolve(refolded, event, from, each.firstRevision + index),
          );
          expectSame(withoutCounted(refolded), withoutCounted(each.replica));
        });
        expectSame(JSON.stringify(refolded.delta), JSON.stringify(lived.delta));
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same answers, byte for byte', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const refolded = emptyReplica('d1');
        live(steps, RECORD, (each) => {
          if (each.events.length === 0) return;
          const events = stored(each).map(({ event }) => event);
          const again = applyAndRespond(refolded, events, each.command.origin, each.firstRevision, true);
          expectSame(again, each.response);
        });
      }),
      { numRuns: 300 },
    );
  });
});

describe('Deciding', () => {
  it('changes neither replica nor command, and says the same again', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const replica = emptyReplica('d1');
        steps.forEach((step, index) => {
          const command = deepFreeze(commandFor(step, replica.version, index));
          const before = JSON.stringify(replica);
          const decision = decide(deepFreeze(structuredClone(replica)), command, step.now, RECORD);
          expectSame(decide(replica, command, step.now, RECORD), decision);
          expectSame(JSON.stringify(replica), before);
          execute(replica, command, step.now, RECORD);
        });
      }),
      { numRuns: 300 },
    );
  });
});

describe('Folding', () => {
  it('never changes an event, not even one that was folded long ago', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const replica = emptyReplica('d1');
        steps.forEach((step, index) => {
          const command = deepFreeze(commandFor(step, replica.version, index));
          const decision = decide(replica, command, step.now, RECORD);
          if (decision.kind === 'refused') return;
          applyAndRespond(replica, deepFreeze(decision.events), command.origin, replica.revision + 1, true);
        });
      }),
      { numRuns: 300 },
    );
  });
});

describe('A command that arrives again', () => {
  it('right after it was recorded is a repeat', () => {
    fc.assert(
      fc.property(history, (steps) => {
        live(steps, RECORD, ({ command, events, replica }) => {
          if (events.length > 0) expectSame(recognise(replica, command.origin).kind, 'repeat');
        });
      }),
      { numRuns: 300 },
    );
  });

  /** Makes offsets, timestamps and logs that may or may not go together. */
  const place = fc.record({
    partition: fc.constantFrom(0, 1),
    offset: fc.integer({ min: 0, max: 6 }),
    timestamp: fc.integer({ min: 0, max: 6 }),
    log: fc.constantFrom('first-life', 'second-life'),
  });
  const record = (replica: Replica, from: Origin): void => {
    const version = replica.version + 1;
    evolve(replica, { type: 'ReportedStateChanged', version, timestamp: 1, state: {} }, from, version);
  };

  it('is never new, whatever was recorded in between, in whatever order', () => {
    fc.assert(
      fc.property(fc.array(place, { maxLength: 8 }), (places) => {
        const replica = emptyReplica('d1');
        const origins = places.map(({ offset, ...source }, index) =>
          origin(offset, source, { fingerprint: `update:${index}` }),
        );
        origins.forEach((from, index) => {
          record(replica, from);
          for (const earlier of origins.slice(0, index + 1)) {
            expectSame(recognise(replica, earlier).kind === 'new', false);
          }
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it('is never new under another name of its log', () => {
    fc.assert(
      fc.property(fc.array(place, { maxLength: 8 }), fc.string(), (places, log) => {
        const replica = emptyReplica('d1');
        const origins = places.map(({ offset, ...source }) => origin(offset, source));
        origins.forEach((from) => record(replica, from));
        for (const from of origins) {
          const renamed = { ...from, source: { ...from.source, log } };
          expectSame(recognise(replica, renamed).kind === 'new', false);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('is never taken for one that went before it in its own log, nor for one of an earlier life', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 }), { maxLength: 20 }), (gaps) => {
        const replica = emptyReplica('d1');
        let life = 0;
        let offset = 0;
        let timestamp = 0;
        for (const gap of gaps) {
          // A gap of 0 deletes the topic and makes it anew.
          if (gap === 0) life++;
          offset = gap === 0 ? 0 : offset + gap;
          timestamp += 1;
          const from = origin(offset, { timestamp, log: `life-${life}` }, { fingerprint: 'update:same' });
          expectSame(recognise(replica, from).kind, 'new');
          record(replica, from);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
