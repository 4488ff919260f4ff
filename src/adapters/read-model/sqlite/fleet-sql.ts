import { searchableText } from '../searchable-text.js';
import { IN_TIME } from './deadline.js';
import {
  type FleetField,
  type FleetFilter,
  NULLABLE_FIELDS,
  type Operand,
  type Scalar,
  type StatePath,
} from '../../../application/fleet-filter.js';
import {
  type FleetPlace,
  type FleetSelection,
  type FleetSort,
} from '../../../application/ports/read-model.js';

/** A piece of SQL and what is bound to its question marks, in their order. Nothing of a query is ever in the text. */
export interface Sql {
  readonly text: string;
  readonly values: readonly (string | number)[];
}

const COLUMNS: Readonly<Record<FleetField | 'deviceId', string>> = {
  deviceId: 'device_id',
  version: 'version',
  lastReported: 'last_reported',
  lastDesired: 'last_desired',
  since: 'since',
  outstanding: 'outstanding',
  connectedSince: 'connected_since',
  disconnectedSince: 'disconnected_since',
};

const DELETED = 3;
/** The replica's text; another one where that holds what is not searched for as it is. */
const STATE = 'coalesce(searchable, replica)';

/** The condition that a generation's devices are those of the selection. */
export function selectionSql(generation: number, selection: FleetSelection): Sql {
  const { inSync, connected, prefix = '', reportedSince, desiredSince, updatedSince, filter } = selection;
  const parts: Sql[] = [{ text: 'generation = ?', values: [generation] }];
  if (inSync === undefined) parts.push({ text: `+status < ${DELETED}`, values: [] });
  else parts.push({ text: 'status = ?', values: [inSync ? 1 : 0] });
  if (prefix !== '') {
    parts.push({ text: 'device_id >= ?', values: [prefix] });
    const end = endOfPrefix(prefix);
    if (end !== null) parts.push({ text: 'device_id < ?', values: [end] });
  }
  if (reportedSince !== undefined) parts.push({ text: 'last_reported >= ?', values: [reportedSince] });
  if (desiredSince !== undefined) parts.push({ text: 'last_desired >= ?', values: [desiredSince] });
  if (updatedSince !== undefined) {
    const text = '(last_reported >= ? OR last_desired >= ?)';
    parts.push({ text, values: [updatedSince, updatedSince] });
  }
  if (connected !== undefined) parts.push(connectedSql(connected));
  // Last, since it costs the most.
  if (filter !== undefined) parts.push({ text: IN_TIME, values: [] }, filterSql(filter));
  return joined(parts, ' AND ');
}

function connectedSql(connected: boolean): Sql {
  return { text: `${connected ? '' : 'dis'}connected_since IS NOT NULL`, values: [] };
}

/**
 * What the selection asks of presence, as a condition that an index of it answers; null: nothing, or not of every
 * device.
 */
export function presenceSql({ connected, filter }: FleetSelection): Sql | null {
  const parts = connected === undefined ? [] : [connectedSql(connected)];
  for (const term of filter?.kind === 'and' ? filter.terms : filter === undefined ? [] : [filter]) {
    if (term.kind !== 'compare' || term.operand.kind !== 'field' || typeof term.value !== 'number') continue;
    const { field } = term.operand;
    if (field !== 'connectedSince' && field !== 'disconnectedSince') continue;
    parts.push({ text: `${COLUMNS[field]} ${term.op} ?`, values: [term.value] });
  }
  return parts.length === 0 ? null : joined(parts, ' AND ');
}

/**
 * The pages of a sort, in parts that come one after the other: each is a condition and an order. A part of its own for
 * null, so that an index on the column gives the order.
 */
export function pageSql({ by, descending }: FleetSort, after: FleetPlace | undefined): Sql[] {
  const direction = descending ? 'DESC' : 'ASC';
  const beyond = descending ? '<' : '>';
  if (by === 'deviceId') {
    const condition = after === undefined ? 'TRUE' : `device_id ${beyond} ?`;
    const values = after === undefined ? [] : [after.deviceId];
    return [{ text: `${condition} ORDER BY device_id ${direction}`, values }];
  }
  const column = COLUMNS[by];
  const nulls = (condition: string, values: string[]): Sql => ({
    text: `${column} IS NULL AND ${condition} ORDER BY device_id`,
    values,
  });
  if (after?.value === null) return [nulls('device_id > ?', [after.deviceId])];
  const order = `ORDER BY ${column} ${direction}, device_id`;
  const first: Sql =
    after === undefined
      ? { text: `${column} IS NOT NULL ${order}`, values: [] }
      : {
          text: `${column} ${beyond}= ? AND (${column} ${beyond} ? OR device_id > ?) ${order}`,
          values: [after.value, after.value, after.deviceId],
        };
  return NULLABLE_FIELDS.has(by) ? [first, nulls('TRUE', [])] : [first];
}

/** Never null: 0 or 1, so that NOT is the plain complement. */
export function filterSql(filter: FleetFilter): Sql {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      const { text, values } = joined(filter.terms.map(filterSql), filter.kind === 'and' ? ' AND ' : ' OR ');
      return { text: `(${text})`, values };
    }
    case 'not': {
      const { text, values } = filterSql(filter.term);
      return { text: `NOT ${text}`, values };
    }
    case 'exists':
      return existsSql(filter.operand);
    case 'compare':
      return testSql(filter.operand, filter.op === '==' ? '=' : filter.op, [filter.value]);
    case 'in':
      return testSql(filter.operand, '=', filter.values);
    default:
      return filter satisfies never;
  }
}

function existsSql(operand: Operand): Sql {
  if (operand.kind === 'field') return { text: `(${COLUMNS[operand.field]} IS NOT NULL)`, values: [] };
  const { section, keys } = operand.path;
  if (keys.length === 0)
    return { text: `((${STATE} -> ? <> '{}') IS TRUE)`, values: [jsonPath(section, [])] };
  if (section !== 'delta') {
    return { text: `(json_type(${STATE}, ?) IS NOT NULL)`, values: [jsonPath(section, keys)] };
  }
  const wanted = wantedSql(keys);
  return {
    text: `((json_type(${STATE}, ?) = 'object') IS TRUE OR (json_type(${STATE}, ?) IS NOT NULL AND ${wanted.text}))`,
    values: [jsonPath('delta', keys), jsonPath('desired', keys), ...wanted.values],
  };
}

/** True where one of the values is as the operator says; several values only with equality. */
function testSql(operand: Operand, op: string, values: readonly Scalar[]): Sql {
  if (operand.kind === 'field') {
    const numbers = values.filter((value) => typeof value === 'number');
    return isTrue(comparison(COLUMNS[operand.field], [], op, numbers));
  }
  const { section, keys } = operand.path;
  if (section !== 'delta') return stateSql({ section, keys }, op, values);
  const wanted = wantedSql(keys);
  const test = stateSql({ section: 'desired', keys }, op, values);
  // The one that costs less first: what is wanted is asked for at each key of the way.
  return { text: `(${test.text} AND ${wanted.text})`, values: [...test.values, ...wanted.values] };
}

/** Each JSON type is compared by itself; an integer as the double that it is in JavaScript, exactly. */
function stateSql({ section, keys }: StatePath, op: string, values: readonly Scalar[]): Sql {
  const path = jsonPath(section, keys);
  const type: Sql = { text: `json_type(${STATE}, ?)`, values: [path] };
  const parts: Sql[] = [];
  const numbers = values.filter((value) => typeof value === 'number');
  if (numbers.length > 0) {
    const test = comparison(`CAST(${STATE} ->> ? AS REAL)`, [path], op, numbers);
    parts.push(joined([{ ...type, text: `${type.text} IN ('integer', 'real')` }, test], ' AND '));
  }
  const strings = values.filter((value) => typeof value === 'string');
  if (strings.length > 0) {
    const test = comparison(`(${STATE} ->> ?)`, [path], op, strings.map(searchableText));
    parts.push(joined([{ ...type, text: `${type.text} = 'text'` }, test], ' AND '));
  }
  for (const value of [true, false]) {
    // An order of booleans is refused when a filter is read; here it is true of nothing.
    if (values.includes(value) && op === '=') parts.push({ ...type, text: `${type.text} = '${value}'` });
  }
  return isTrue(joined(parts, ' OR '));
}

/** The delta is stored as its shape: 0 where the desired value stands in it whole, see `encodeSnapshot`. */
function wantedSql(keys: readonly string[]): Sql {
  const paths = keys.map((_, index) => jsonPath('delta', keys.slice(0, index + 1)));
  if (paths.length === 0) return { text: 'FALSE', values: [] };
  const types = paths.map(() => `json_type(${STATE}, ?)`).join(" = 'integer') IS TRUE OR (");
  return { text: `((${types} = 'integer') IS TRUE)`, values: paths };
}

function comparison(
  left: string,
  bound: readonly string[],
  op: string,
  values: readonly (string | number)[],
): Sql {
  if (values.length === 1) return { text: `${left} ${op} ?`, values: [...bound, ...values] };
  return { text: `${left} IN (${values.map(() => '?').join(', ')})`, values: [...bound, ...values] };
}

function isTrue({ text, values }: Sql): Sql {
  return { text: text === '' ? 'FALSE' : `((${text}) IS TRUE)`, values };
}

function joined(parts: readonly Sql[], by: string): Sql {
  return { text: parts.map(({ text }) => text).join(by), values: parts.flatMap(({ values }) => values) };
}

/** Labels are JSON strings, whatever is in them. */
function jsonPath(section: StatePath['section'], keys: readonly string[]): string {
  return `$.${section}${keys.map((key) => `.${JSON.stringify(searchableText(key))}`).join('')}`;
}

/** The first text after all that begin with the prefix, in the order of their bytes; null: there is none. */
function endOfPrefix(prefix: string): string | null {
  const points = [...prefix].map((character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === 0x10ffff) points.pop();
  const last = points.pop();
  if (last === undefined) return null;
  // The surrogates are no characters.
  points.push(last === 0xd7ff ? 0xe000 : last + 1);
  return String.fromCodePoint(...points);
}
