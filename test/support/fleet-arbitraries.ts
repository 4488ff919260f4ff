import fc from 'fast-check';
import { emptyView, evolveView, rowOfView } from '../../src/application/device-view.js';
import {
  FLEET_FIELDS,
  type FleetFilter,
  type Operand,
  type Scalar,
} from '../../src/application/fleet-filter.js';
import { type DeviceRow, type FleetQuery } from '../../src/application/ports/read-model.js';
import { type JsonObject, type JsonValue } from '../../src/replica/json.js';
import { type OracleDevice } from './fleet-oracle.js';

/** Strings that something on the way to a database might mistake. In UTF-16 U+FFFD comes after the emoji. */
const ODD = [
  ...['', 'a', 'b', 'A', 'a b', 'a.b', 'a"b', "a'b", 'a\\b', 'a\nb', 'é', '😀', '\uFFFD', '\uFFFF', '\u2028'],
  ...[
    '\u0000',
    '\u0000a',
    'a\u0000',
    'a\u0000b',
    '\u0001',
    '\u0001\u0001',
    '\u0001\u0002',
    '\u0002',
    'a\u0001',
  ],
  ...['0', '1', '1.0', '-1', 'true', 'null', '{}', '[0]', '$', '$.a', '#', '%', '_', '*', '?', 'toString'],
  ...['"a"', '\\u0000', '\\', 'A\u0301', '\u00c1', '\u007f', '\ud7ff', '\ue000', '\u{10ffff}'],
];

const oddString = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...ODD) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
);

const key = fc
  .oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c') }, { weight: 3, arbitrary: oddString })
  .filter((text) => text !== '__proto__');

const number = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom(0, 1, 2, 3, -1, 1.5, 0.1, 0.30000000000000004, 1e-7, 5e-324, 2 ** 53 - 1),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(-(2 ** 53 - 1), 2 ** 60, 2 ** 63, 1e21, 1e300, -1.7976931348623157e308),
  },
  { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0) },
);

const scalar: fc.Arbitrary<Scalar> = fc.oneof(
  { weight: 3, arbitrary: number },
  { weight: 3, arbitrary: oddString },
  { weight: 1, arbitrary: fc.boolean() },
);

function objectOf(levels: number): fc.Arbitrary<JsonObject> {
  const value: fc.Arbitrary<JsonValue> =
    levels === 0
      ? scalar
      : fc.oneof(
          { weight: 5, arbitrary: scalar },
          { weight: 3, arbitrary: objectOf(levels - 1) },
          { weight: 1, arbitrary: fc.array(scalar, { maxLength: 2 }) },
        );
  return fc.dictionary(key, value, { maxKeys: 4, noNullPrototype: true });
}

const path = fc.record({
  section: fc.constantFrom('reported', 'desired', 'delta'),
  keys: fc.array(key, { maxLength: 3 }),
});

const field = fc.constantFrom(...FLEET_FIELDS);
const small = fc.integer({ min: 0, max: 6 });

/** @param forText only what the grammar can say: field tests with numbers, no number that no state holds */
function testOf(forText: boolean): fc.Arbitrary<FleetFilter> {
  const literal = forText ? scalar.filter(isSayable) : scalar;
  const operand: fc.Arbitrary<Operand> = path.map((of) => ({ kind: 'state', path: of }));
  const fieldOperand: fc.Arbitrary<Operand> = field.map((of) => ({ kind: 'field', field: of }));
  const order = fc.constantFrom('==', '<', '<=', '>', '>=');
  const compare = fc
    .record({ kind: fc.constant('compare'), operand, op: order, value: literal })
    .map(({ op, ...rest }) => ({ ...rest, op: typeof rest.value === 'boolean' ? ('==' as const) : op }));
  const values = fc.array(literal, { minLength: 1, maxLength: 4 });
  return fc.oneof(
    { weight: 4, arbitrary: compare },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('in'), operand, values }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('exists'), operand: fc.oneof(operand, fieldOperand) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('compare'),
        operand: fieldOperand,
        op: order,
        value: fc.oneof(small, fc.constant(1.5)),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('in'),
        operand: fieldOperand,
        values: fc.array(small, { minLength: 1, maxLength: 3 }),
      }),
    },
  );
}

function isSayable(value: Scalar): boolean {
  return typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER;
}

function filterOf(test: fc.Arbitrary<FleetFilter>): fc.Arbitrary<FleetFilter> {
  return fc.letrec<{ filter: FleetFilter }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      { weight: 4, arbitrary: test },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('not'), term: tie('filter') }) },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constantFrom('and', 'or'),
          terms: fc.array(tie('filter'), { minLength: 2, maxLength: 3 }),
        }),
      },
    ),
  })).filter;
}

/** Any filter that an adapter may be given. */
export const anyFilter = filterOf(testOf(false));
/** Any filter that text can say, but for its bounds. */
export const sayableFilter = filterOf(testOf(true));

const nullable = fc.option(small, { freq: 3 });

const deviceId = fc.oneof(
  fc.constantFrom('a', 'b', 'A', 'a%', 'a_', 'aXb', 'a_b', 'a%b', 'a.b', 'a-b', 'a:b', '%', '_', 'z9', 'z10'),
  fc.constantFrom('a/name/x', 'a/name/y', 'a-b/name/x', 'aa/name/x', 'z9/name/a'),
  fc.string({ unit: fc.constantFrom('a', 'b', 'Z', '-', '.', '_', '0'), minLength: 1, maxLength: 3 }),
);

const device: fc.Arbitrary<OracleDevice> = fc
  .record({
    deviceId,
    reported: objectOf(2),
    desired: objectOf(2),
    isAlike: fc.boolean(),
    index: fc.record({
      version: small,
      status: fc.constantFrom<DeviceRow['status']>('in-sync', 'not-in-sync', 'broken', 'deleted'),
      lastReported: nullable,
      lastDesired: nullable,
      since: small,
      outstanding: small,
    }),
    presence: fc.constantFrom('connectedSince', 'disconnectedSince', null),
    presenceSince: small,
  })
  .map(({ deviceId: id, reported, desired: wanted, isAlike, index, presence, presenceSince }) => {
    // Much alike, so that the delta has nodes of its own.
    const desired = isAlike ? { ...reported, ...wanted } : wanted;
    const view = emptyView(id);
    const event = { version: 1, timestamp: 1_800_000_000_000 };
    evolveView(view, { ...event, type: 'ReportedStateChanged', state: reported }, 0);
    evolveView(view, { ...event, type: 'DesiredStateChanged', state: desired }, 1);
    const broken = index.status === 'broken' ? 'why' : null;
    const since = { connectedSince: null, disconnectedSince: null };
    const known = presence === null ? since : { ...since, [presence]: presenceSince };
    return { row: { ...rowOfView(view), ...index, broken, ...known }, reported, desired };
  });

/** Devices of different ids; named replicas have the presence of their device. */
export const fleetOf = (minLength: number, maxLength: number): fc.Arbitrary<OracleDevice[]> =>
  fc
    .uniqueArray(device, { selector: ({ row }) => row.deviceId, minLength, maxLength, size: 'max' })
    .map((devices) =>
      devices.map((each) => {
        const { connectedSince, disconnectedSince } =
          devices.find(({ row }) => ownerOf(row.deviceId) === ownerOf(each.row.deviceId))?.row ?? each.row;
        return { ...each, row: { ...each.row, connectedSince, disconnectedSince } };
      }),
    );

export function ownerOf(replicaId: string): string {
  return replicaId.replace(/\/.*/, '');
}

export const fleetQuery: fc.Arbitrary<FleetQuery> = fc
  .record(
    {
      inSync: fc.boolean(),
      connected: fc.boolean(),
      prefix: fc.constantFrom('', 'a', 'A', 'a%', 'a_', '%', '_', 'z', '\u{10ffff}'),
      reportedSince: small,
      desiredSince: small,
      updatedSince: small,
      filter: anyFilter,
      sort: fc.record({
        by: fc.constantFrom('deviceId', ...FLEET_FIELDS),
        descending: fc.boolean(),
      }),
      withText: fc.boolean(),
      limit: fc.integer({ min: 1, max: 5 }),
    },
    { requiredKeys: ['limit', 'filter'] },
  )
  // What each of them leaves out is often nothing, so that the page is not always empty.
  .chain((query) => fc.subarray(Object.keys(query)).map((keys) => pick(query, [...keys, 'limit'])));

function pick(query: FleetQuery, keys: readonly string[]): FleetQuery {
  return Object.fromEntries(
    Object.entries(query).filter(([name]) => keys.includes(name)),
  ) as unknown as FleetQuery;
}
