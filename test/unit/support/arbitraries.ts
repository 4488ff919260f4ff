import fc from 'fast-check';
import { type RequestedState } from '../../../src/replica/commands.js';
import { type JsonObject, type JsonValue } from '../../../src/replica/json.js';

/** Few keys, so that they collide; some of them are names that every object inherits. */
export const key = fc.constantFrom('a', 'b', 'c', '0', '10', '', 'toString', 'valueOf', 'é"\\\n');

export const scalar = fc.constantFrom<JsonValue>(
  0,
  1,
  -1,
  1.5,
  1e-7,
  9007199254740991,
  true,
  false,
  '',
  '1',
  'é€😀',
  '"\\/\b\n\u0001\u007f\u2028',
);

export interface Shape {
  /** Whether a key may be given null. */
  readonly nulls: boolean;
}

export function objectOf(levels: number, shape: Shape): fc.Arbitrary<JsonObject> {
  return fc
    .array(fc.tuple(key, valueOf(levels - 1, shape)), { maxLength: 4 })
    .map((entries) => Object.fromEntries(entries));
}

function valueOf(levels: number, shape: Shape): fc.Arbitrary<JsonValue> {
  const choices: fc.WeightedArbitrary<JsonValue>[] = [
    { weight: 4, arbitrary: scalar },
    { weight: shape.nulls ? 2 : 0, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant({}) },
  ];
  if (levels > 0) {
    choices.push({ weight: 4, arbitrary: objectOf(levels, shape) });
    choices.push({
      weight: 1,
      arbitrary: fc.array(valueOf(levels - 1, { nulls: false }), { maxLength: 3 }),
    });
  }
  return fc.oneof(...choices);
}

/** A section as it may stand in a replica. */
export const section = objectOf(3, { nulls: false });
/** A section as it may stand in a request. */
export const patch = objectOf(3, { nulls: true });

const requestedSection = fc.oneof(
  { weight: 8, arbitrary: patch },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 4, arbitrary: fc.constant(undefined) },
);

export const requestedState: fc.Arbitrary<RequestedState | null> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc
      .tuple(requestedSection, requestedSection, fc.boolean())
      .map(([reported, desired, first]) => {
        const entries: [string, JsonObject | null][] = [];
        if (reported !== undefined) entries.push(['reported', reported]);
        if (desired !== undefined) entries.push(['desired', desired]);
        return Object.fromEntries(first ? entries : entries.reverse());
      }),
  },
  { weight: 1, arbitrary: fc.constant(null) },
);

export interface RandomStep {
  readonly kind: 'update' | 'delete';
  readonly state: RequestedState | null;
  /** What is added to the current version for the request's; undefined: the request has none. */
  readonly versionOff: number | undefined;
  readonly clientToken: string | undefined;
  /** The clock; it may go back. */
  readonly now: number;
}

const step: fc.Arbitrary<RandomStep> = fc.record({
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constant('update' as const) },
    { weight: 1, arbitrary: fc.constant('delete' as const) },
  ),
  state: requestedState,
  versionOff: fc.oneof(
    { weight: 8, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(-1, 1) },
  ),
  clientToken: fc.constantFrom(undefined, 'token', 'é"'),
  now: fc.integer({ min: 1, max: 50 }),
});

export const history = fc.array(step, { minLength: 1, maxLength: 12 });
