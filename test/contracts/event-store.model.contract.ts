import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { EventStore, NewEvent } from '../../src/application/ports/event-store.js';
import { brief, collect, follow, newEvent, newStream, type StoreOf } from './event-store.support.js';

const STREAM_COUNT = 3;
/** The pool of events is small, so that repeats and half repeats come up often. */
const EVENT_COUNT = 6;

/** One append of a call: which stream, what revision is expected, which events of the pool. */
interface AppendPlan {
  readonly stream: number;
  /** The expected revision's distance from the stream's own, as the model has it. */
  readonly offset: number;
  readonly events: readonly number[];
}

/** `together` calls are made in one turn, before any of them is answered. */
type Plan = readonly { readonly together: readonly (readonly AppendPlan[])[] }[];

const appendPlan: fc.Arbitrary<AppendPlan> = fc.record({
  stream: fc.nat({ max: STREAM_COUNT - 1 }),
  offset: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: -4, max: 2 }) },
  ),
  events: fc.array(fc.nat({ max: EVENT_COUNT - 1 }), { minLength: 0, maxLength: 3 }),
});
const plans: fc.Arbitrary<Plan> = fc.array(
  fc.record({
    together: fc.array(fc.array(appendPlan, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** The port's rules over arrays of ids: all that an adapter may answer. */
class Model {
  readonly streams = new Map<string, string[]>();
  readonly log: string[] = [];

  revisionOf(stream: string): number {
    return (this.streams.get(stream)?.length ?? 0) - 1;
  }

  append(stream: string, expected: number, ids: readonly string[]): string {
    if (ids.length === 0 || expected < -1) return 'failed invalid';
    const standing = this.streams.get(stream) ?? [];
    const last = expected + ids.length;
    if (expected === standing.length - 1) {
      this.streams.set(stream, [...standing, ...ids]);
      this.log.push(...ids.map((id) => `${stream} ${id}`));
      return `appended ${last}`;
    }
    const isRepeat = ids.every((id, index) => standing[expected + 1 + index] === id);
    return isRepeat ? `appended ${last}` : `conflict ${standing.length - 1}`;
  }
}

async function run(store: EventStore, plan: Plan): Promise<void> {
  const model = new Model();
  const names = Array.from({ length: STREAM_COUNT }, newStream);
  const pool: readonly NewEvent[] = Array.from({ length: EVENT_COUNT }, (_, n) => newEvent({ n }));
  for (const { together } of plan) {
    const calls = together.map((call) =>
      call.map(({ stream, offset, events }) => {
        const name = names[stream] ?? '';
        const expectedRevision = model.revisionOf(name) + offset;
        return { stream: name, expectedRevision, events: events.flatMap((n) => pool[n] ?? []) };
      }),
    );
    const answering = Promise.all(calls.map((call) => store.append(call)));
    const expected = calls.map((call) => {
      const isTwice = (name: string): boolean => call.filter(({ stream }) => stream === name).length > 1;
      return call.map(({ stream, expectedRevision, events }) =>
        isTwice(stream)
          ? 'failed invalid'
          : model.append(
              stream,
              expectedRevision,
              events.map(({ id }) => id),
            ),
      );
    });
    expect((await answering).map((results) => results.map(brief))).toEqual(expected);
  }
  for (const name of names) {
    const recorded = await collect(store.readStream(name));
    expect(recorded.map(({ id }) => id)).toEqual(model.streams.get(name) ?? []);
    expect(recorded.map(({ revision }) => revision)).toEqual(recorded.map((_, index) => index));
  }
  const lineOf = ({ stream, id }: { stream: string; id: string }): string => `${stream} ${id}`;
  const isMine = ({ stream }: { stream: string }): boolean => names.includes(stream);
  // One more than ours: the event before them, where there is one, is where the subscription starts.
  const last = await collect(store.readAll({ direction: 'backwards', maxCount: model.log.length + 1 }));
  const log = last.reverse();
  expect(log.filter(isMine).map(lineOf)).toEqual(model.log);
  const before = log.find((event) => !isMine(event));
  const subscription = store.subscribe({ after: before?.position ?? 'start' });
  const seen = await follow(subscription, names, (_, item) => item.kind === 'caught-up');
  expect(seen.map(lineOf)).toEqual(model.log);
}

export function modelContract(store: StoreOf): void {
  describe('any sequence of appends', () => {
    it('is answered and recorded as the model says', async () => {
      // On a failure fast-check prints the seed and the path that repeat it.
      await fc.assert(
        fc.asyncProperty(plans, (plan) => run(store(), plan)),
        { numRuns: 60 },
      );
    }, 60_000);
  });
}
