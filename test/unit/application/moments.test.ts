import { describe, expect, it } from '@jest/globals';
import { parseTime, parseVersion, readBound, readMoment } from '../../../src/application/moments.js';

const NOON = Date.UTC(2026, 4, 1, 12);

describe('A time', () => {
  it.each([
    ['2026-05-01T12:00:00Z', NOON],
    ['2026-05-01T12:00Z', NOON],
    ['2026-05-01T14:00:00+02:00', NOON],
    ['2026-05-01T14:00:00 02:00', NOON],
    ['2026-05-01T06:30:00-0530', NOON],
    ['2026-05-01T12:00:00.1234Z', NOON + 123],
    ['2026-05-01T12:00:00.5Z', NOON + 500],
    ['2026-05-01', NOON - 12 * 3_600_000],
    [String(NOON), NOON],
    ['0', 0],
    ['2024-02-29', Date.UTC(2024, 1, 29)],
    ['0050-01-01', Date.parse('0050-01-01T00:00:00Z')],
    ['0050-01-01T00:30:00+01:00', Date.parse('0049-12-31T23:30:00Z')],
  ])('is read from %s', (text, time) => {
    expect(parseTime(text)).toBe(time);
  });

  it.each([
    '',
    'yesterday',
    '2026-05-01T12:00:00',
    '2026-02-30',
    '2025-02-29',
    '2026-13-01',
    '2026-05-01T24:00:00Z',
    '2026-05-01T12:60Z',
    '2026-05-01T12:00+24:00',
    '-1',
    '1.5',
    '9999999999999999',
  ])('is not read from %p', (text) => {
    expect(parseTime(text)).toBeNull();
  });
});

describe('A moment', () => {
  it('is a version or a time, and not both', () => {
    expect(readMoment({})).toEqual({ ok: true, value: null });
    expect(readMoment({ version: '17' })).toEqual({ ok: true, value: { kind: 'version', version: 17 } });
    expect(readMoment({ at: '17' })).toEqual({ ok: true, value: { kind: 'time', time: 17 } });
    expect(readMoment({ version: '17', at: '17' })).toMatchObject({ ok: false, refusal: { code: 400 } });
  });

  it.each([
    [{ version: '-1' }, 'Invalid version'],
    [{ version: '1.0' }, 'Invalid version'],
    [{ version: '' }, 'Invalid version'],
    [{ version: ['1', '2'] }, 'Invalid version'],
    [{ at: 'now' }, 'Invalid at'],
    [{ at: ['1', '2'] }, 'Invalid at'],
  ])('is refused as %p', (given, message) => {
    const reading = readMoment(given);
    expect(reading).toMatchObject({ ok: false, refusal: { code: 400 } });
    expect(reading.ok ? '' : reading.refusal.message).toContain(message);
  });

  it('as a bound is a version where the number is small, and a time where it is large', () => {
    expect(readBound('from', '99999999999')).toMatchObject({ value: { kind: 'version' } });
    expect(readBound('from', '100000000000')).toMatchObject({ value: { kind: 'time' } });
    expect(readBound('from', '2026-05-01')).toMatchObject({ value: { kind: 'time' } });
    expect(readBound('from', undefined)).toEqual({ ok: true, value: null });
    expect(readBound('from', 'x')).toMatchObject({ ok: false, refusal: { code: 400 } });
    expect(parseVersion('1e3')).toBeNull();
  });
});
