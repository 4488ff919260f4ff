import {
  type CompareOp,
  type FleetField,
  type FleetFilter,
  type Operand,
  type Scalar,
  type StatePath,
} from '../../../application/fleet-filter.js';
import { type JsonObject } from '../../../replica/json.js';
import { searchableText } from '../searchable-text.js';

export const COLUMNS: Readonly<Record<FleetField, string>> = {
  version: 'version',
  lastReported: 'last_reported',
  lastDesired: 'last_desired',
  since: 'since',
  outstanding: 'outstanding',
  connectedSince: 'connected_since',
  disconnectedSince: 'disconnected_since',
};

/** The bound values of a statement: whatever was given by a caller goes in here, and nowhere else. */
export interface Parameters {
  readonly list: unknown[];
  /** The place of the value in the statement, with its type. */
  add(
    value: unknown,
    type: 'bigint' | 'numeric' | 'text' | 'jsonb' | 'text[]' | 'numeric[]' | 'jsonb[]',
  ): string;
}

export function parameters(): Parameters {
  const list: unknown[] = [];
  return {
    list,
    add(value, type) {
      list.push(value);
      return `$${list.length}::${type}`;
    },
  };
}

/** As {@link filterSql}, but null in place of false where an index answers that alone: for the end of a WHERE. */
export function conditionSql(filter: FleetFilter, values: Parameters): string {
  if (filter.kind === 'and' && filter.terms.length > 0)
    return filter.terms.map((term) => conditionSql(term, values)).join(' AND ');
  if (filter.kind === 'compare' && filter.op !== '==' && filter.operand.kind === 'field')
    return fieldOrderSql(filter.operand.field, filter.op, filter.value, values);
  return filterSql(filter, values);
}

/** The filter as a condition over the devices and their presence that is true or false, and never null. */
export function filterSql(filter: FleetFilter, values: Parameters): string {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      if (filter.terms.length === 0) return filter.kind === 'and' ? 'true' : 'false';
      const terms = filter.terms.map((term) => filterSql(term, values));
      return `(${terms.join(filter.kind === 'and' ? ' AND ' : ' OR ')})`;
    }
    case 'not':
      return `(NOT ${filterSql(filter.term, values)})`;
    case 'exists':
      return `(${operandSql(filter.operand, values)} IS NOT NULL)`;
    case 'compare':
      return filter.op === '=='
        ? equalSql(filter.operand, [filter.value], values)
        : orderSql(filter.operand, filter.op, filter.value, values);
    case 'in':
      return equalSql(filter.operand, filter.values, values);
  }
}

/** The column, or the place in the state: null where there is none. There is no place within an array or a scalar. */
function operandSql(operand: Operand, values: Parameters): string {
  if (operand.kind === 'field') return COLUMNS[operand.field];
  const { section, keys } = operand.path;
  return [section, ...keys].reduce(
    (place, key) => `(${place} -> ${values.add(searchableText(key), 'text')})`,
    'state',
  );
}

/**
 * A state value equals a scalar where the state contains the document that has nothing but that scalar at that place;
 * which is what the index answers. No array is ever on the way of it, since containment keeps the kinds apart.
 */
function equalSql(operand: Operand, wanted: readonly Scalar[], values: Parameters): string {
  if (operand.kind === 'field') {
    const numbers = wanted.filter((value) => typeof value === 'number');
    if (numbers.length === 0) return 'false';
    const column = COLUMNS[operand.field];
    const list = values.add(numbers.map(String), 'numeric[]');
    // Only a whole number can be equal; as one, it is looked up.
    const isWhole = numbers.every(Number.isSafeInteger);
    const any = isWhole ? `${column} = ANY (${list}::bigint[])` : `${column}::numeric = ANY (${list})`;
    return `coalesce(${any}, false)`;
  }
  if (wanted.length === 0) return 'false';
  const terms = wanted.map(
    (value) => `state @> ${values.add(JSON.stringify(documentOf(operand.path, value)), 'jsonb')}`,
  );
  return `(${terms.join(' OR ')})`;
}

function documentOf({ section, keys }: StatePath, value: Scalar): JsonObject {
  const scalar = typeof value === 'string' ? searchableText(value) : value;
  const inside = keys.reduceRight<JsonObject | Scalar>(
    (document, key) => ({ [searchableText(key)]: document }),
    scalar,
  );
  return { [section]: inside };
}

function orderSql(operand: Operand, op: Exclude<CompareOp, '=='>, value: Scalar, values: Parameters): string {
  if (typeof value === 'boolean') return 'false';
  if (operand.kind === 'field') return `coalesce(${fieldOrderSql(operand.field, op, value, values)}, false)`;
  const place = operandSql(operand, values);
  const [type, compared] =
    typeof value === 'number'
      ? ['number', `${place}::numeric ${op} ${values.add(String(value), 'numeric')}`]
      : ['string', `(${place} #>> '{}') COLLATE "C" ${op} ${values.add(searchableText(value), 'text')}`];
  // Not by AND, which may be worked out in any order: a text that is no number must not be read as one.
  return `(CASE WHEN jsonb_typeof(${place}) = '${type}' THEN ${compared} ELSE false END)`;
}

function fieldOrderSql(
  field: FleetField,
  op: Exclude<CompareOp, '=='>,
  value: Scalar,
  values: Parameters,
): string {
  if (typeof value !== 'number') return 'false';
  const column = COLUMNS[field];
  return Number.isSafeInteger(value)
    ? `${column} ${op} ${values.add(value, 'bigint')}`
    : `${column}::numeric ${op} ${values.add(String(value), 'numeric')}`;
}
