import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { refusalOfReplayTopic } from '../../../src/adapters/bus/kafka/replay-publisher.js';
import { COMMAND_CHANNELS, OUTPUT_CHANNELS } from '../../../src/application/ports/bus.js';
import {
  type Command,
  countOf,
  noneLeft,
  parseArguments,
  UsageError,
  wordOf,
} from '../../../src/cli/command.js';
import { formatOf } from '../../../src/cli/export.js';
import { readSpeed } from '../../../src/cli/replay.js';
import { readDevices, readSelection } from '../../../src/cli/selection.js';

const command: Command = {
  name: 'try',
  synopsis: '',
  summary: '',
  help: '',
  options: ['from', 'limit'],
  flags: ['newest-first'],
  run: () => Promise.resolve(0),
};

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return 'none';
}

describe('arguments', () => {
  it('are values, flags and what is neither, in any order', () => {
    expect(parseArguments(command, ['a', '--limit=3', '--newest-first', 'b', '--from', '-'])).toEqual({
      positionals: ['a', 'b'],
      values: { limit: '3', from: '-' },
      flags: new Set(['newest-first']),
      help: false,
    });
    expect(parseArguments(command, ['-h']).help).toBe(true);
  });

  it.each([
    [['--form', '3'], /^Unknown option '--form'; see device-state-replica try --help$/],
    [['--from'], /^Option '--from <value>' argument missing; see/],
    [['--newest-first=yes'], /^Option '--newest-first' does not take an argument; see/],
    [['--from', '1', '--from', '2'], /^--from is given twice$/],
  ])('are refused in one line: %j', (args, line) => {
    expect(refusal(() => parseArguments(command, args))).toMatch(line);
  });

  it('are read as what they must be', () => {
    expect(wordOf('format', undefined, 'text', 'ndjson')).toBe('text');
    expect(refusal(() => wordOf('format', 'xml', 'text', 'ndjson'))).toBe(
      "--format must be text or ndjson; it is 'xml'",
    );
    expect(countOf('limit', undefined)).toBeNull();
    expect(countOf('limit', '12')).toBe(12);
    for (const wrong of ['0', '-1', '1.5', 'x', '']) {
      expect(refusal(() => countOf('limit', wrong))).toMatch(/^--limit must be a whole number/);
    }
    expect(refusal(() => noneLeft(['x']))).toMatch(/^unexpected argument 'x'/);
    expect(formatOf(undefined, 'a.parquet')).toBe('parquet');
    expect(formatOf(undefined, 'a.csv')).toBe('csv');
    expect(formatOf(undefined, '-')).toBe('ndjson');
    expect(formatOf('csv', 'a.parquet')).toBe('csv');
  });
});

describe('a selection', () => {
  it('has bounds in time, devices and a position, each of them or none', () => {
    expect(readSelection({})).toEqual({ from: null, to: null, devices: null, after: null });
    expect(
      readSelection({
        from: '2026-05-01',
        to: '2026-05-01T12:00:00+02:00',
        devices: 'a, b:1 ,pump-*',
        after: '9223372036854775807',
      }),
    ).toEqual({
      from: Date.UTC(2026, 4, 1),
      to: Date.UTC(2026, 4, 1, 10),
      devices: { ids: new Set(['a', 'b:1']), prefixes: ['pump-'] },
      after: 9_223_372_036_854_775_807n,
    });
  });

  it('reads devices from a file, one a line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'devices-'));
    const file = join(folder, 'list');
    writeFileSync(file, 'a\r\n\npump-*\nb');
    expect(readDevices(`@${file}`)).toEqual({ ids: new Set(['a', 'b']), prefixes: ['pump-'] });
    rmSync(folder, { recursive: true });
    expect(refusal(() => readDevices(`@${file}`))).toMatch(/^--devices: cannot read \S+: .*ENOENT/);
  });

  it.each([
    [{ from: '17' }, /^--from must be a time: '17' would be a version/],
    [{ to: 'yesterday' }, /^Invalid --to: a time in ISO 8601/],
    [{ from: '2026-05-02', to: '2026-05-01' }, /^--from is later than --to$/],
    [{ after: '-1' }, /^--after must be a position/],
    [{ devices: '' }, /^--devices names no device$/],
    [{ devices: 'a b' }, /^--devices: 'a b' is no device id/],
    [{ devices: '*a' }, /^--devices: '\*a' is no device id/],
  ])('is refused in one line: %j', (values, line) => {
    expect(refusal(() => readSelection(values))).toMatch(line);
  });
});

describe('a replay', () => {
  it('has a speed', () => {
    expect(readSpeed()).toBe(1);
    expect(readSpeed('0.5x')).toBe(0.5);
    expect(readSpeed('10x')).toBe(10);
    expect(readSpeed('max')).toBe(Infinity);
    for (const wrong of ['0x', '10', 'x', '-1x', '1e3x', 'fast']) {
      expect(refusal(() => readSpeed(wrong))).toMatch(/^--speed must be such as/);
    }
  });

  it('is refused on every topic of a service, whatever its prefix, and on no other', () => {
    for (const channel of [...COMMAND_CHANNELS, ...OUTPUT_CHANNELS, 'replies']) {
      for (const prefix of ['state', 'other-1']) {
        expect(refusalOfReplayTopic(`${prefix}.${channel}`)).toContain(`'.`);
      }
    }
    for (const topic of ['state.replay', 'replay', 'state.updates', 'update-2026']) {
      expect(refusalOfReplayTopic(topic)).toBeNull();
    }
    for (const topic of ['', '.', '..', 'a/b', 'é', 'x'.repeat(250)]) {
      expect(refusalOfReplayTopic(topic)).toMatch(/^it is no name/);
    }
  });
});
