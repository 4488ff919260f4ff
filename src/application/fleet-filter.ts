/** What a fleet query asks of a device, as data. Adapters of the read model compile it; `parseFleetFilter` makes it. */

/** A place in a device's state. Keys as they are, unquoted; none: the section itself. */
export interface StatePath {
  readonly section: 'reported' | 'desired' | 'delta';
  readonly keys: readonly string[];
}

/** Columns of the fleet index. The times are milliseconds since the epoch, or null. */
export type FleetField =
  | 'version'
  | 'lastReported'
  | 'lastDesired'
  | 'since'
  | 'outstanding'
  | 'connectedSince'
  | 'disconnectedSince';

export const FLEET_FIELDS: readonly FleetField[] = [
  'version',
  'lastReported',
  'lastDesired',
  'since',
  'outstanding',
  'connectedSince',
  'disconnectedSince',
];

/** Those that a device may not have. */
export const NULLABLE_FIELDS: ReadonlySet<FleetField> = new Set([
  'lastReported',
  'lastDesired',
  'connectedSince',
  'disconnectedSince',
]);

export type Scalar = string | number | boolean;

export type Operand =
  | { readonly kind: 'state'; readonly path: StatePath }
  | { readonly kind: 'field'; readonly field: FleetField };

export type CompareOp = '==' | '<' | '<=' | '>' | '>=';

/**
 * Two-valued: a comparison is true only where the value is there and of the literal's JSON type, and `not` is the plain
 * complement. Numbers compare by value, strings by their UTF-8 bytes, booleans by `==` and `in` alone. Objects and
 * arrays equal nothing, but exist; there is no place within an array. A section whose last key went does not exist.
 * Strings hold no lone surrogates.
 */
export type FleetFilter =
  | { readonly kind: 'and' | 'or'; readonly terms: readonly FleetFilter[] }
  | { readonly kind: 'not'; readonly term: FleetFilter }
  | { readonly kind: 'exists'; readonly operand: Operand }
  | {
      readonly kind: 'compare';
      readonly operand: Operand;
      readonly op: CompareOp;
      readonly value: Scalar;
    }
  | { readonly kind: 'in'; readonly operand: Operand; readonly values: readonly Scalar[] };
