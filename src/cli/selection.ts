import { readFileSync } from 'node:fs';
import { isIdPrefix, isReplicaId } from '../replica/limits.js';
import { readBound } from '../application/moments.js';
import { type DeviceFilter, type Selection } from '../application/select-events.js';
import { lineOf, UsageError } from './command.js';

export const SELECTION_OPTIONS = ['from', 'to', 'devices', 'after', 'data-dir'] as const;

export const SELECTION_HELP = `--from TIME, --to TIME   only events of these times, both inclusive: ISO 8601 with
                         its zone (2026-05-01T12:00:00Z), a date (midnight UTC),
                         or milliseconds since the epoch
--devices LIST           only these devices: ids and prefixes ending in *, with
                         commas between them; @FILE: one a line
--after POSITION         only events after this position of the log
--data-dir DIR           the folder of the SQLite files, instead of DATA_DIR

The store is that of the service's own settings: EVENTSTORE_CONNECTION_STRING, or
SQLite in DATA_DIR (./data). A service may run on it; nothing is changed.`;

/** Throws {@link UsageError}. */
export function readSelection(values: Readonly<Record<string, string | undefined>>): Selection {
  const from = timeOf('from', values['from']);
  const to = timeOf('to', values['to']);
  if (from !== null && to !== null && from > to) throw new UsageError('--from is later than --to');
  const after = values['after'];
  if (after !== undefined && !/^\d{1,19}$/.test(after)) {
    throw new UsageError(`--after must be a position of the log, a whole number; it is '${after}'`);
  }
  return {
    from,
    to,
    devices: values['devices'] === undefined ? null : readDevices(values['devices']),
    after: after === undefined ? null : BigInt(after),
  };
}

function timeOf(option: string, value: string | undefined): number | null {
  const bound = readBound(`--${option}`, value);
  if (!bound.ok) throw new UsageError(bound.refusal.message.replace('a version, or ', ''));
  if (bound.value === null) return null;
  if (bound.value.kind === 'version') {
    throw new UsageError(`--${option} must be a time: '${value}' would be a version, which is of one device`);
  }
  return bound.value.time;
}

/** Throws {@link UsageError}. */
export function readDevices(list: string): DeviceFilter {
  const entries = (list.startsWith('@') ? linesOf(list.slice(1)) : list.split(','))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  if (entries.length === 0) throw new UsageError('--devices names no device');
  const ids = new Set<string>();
  const prefixes: string[] = [];
  for (const entry of entries) {
    if (entry !== '*' && !isNamed(entry)) {
      throw new UsageError(`--devices: '${entry}' is no device id, and no prefix that ends in *`);
    }
    if (entry.endsWith('*')) prefixes.push(entry.slice(0, -1));
    else ids.add(entry);
  }
  return { ids, prefixes };
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split(/\r?\n/);
  } catch (error) {
    throw new UsageError(`--devices: cannot read ${path}: ${lineOf(error)}`);
  }
}

function isNamed(entry: string): boolean {
  return entry.endsWith('*') ? isIdPrefix(entry.slice(0, -1)) : isReplicaId(entry);
}
