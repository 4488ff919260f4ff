import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { identityOf, isSame, KnownCaller } from '../../../src/application/access/known-caller.js';
import { type Caller } from '../../../src/application/access/rules.js';
import { type Authentication, UNAVAILABLE, UNKNOWN } from '../../../src/application/ports/authenticator.js';

const panel: Caller = { id: 'panel', role: 'component', devices: ['lamp-*'] };
const known = (caller: Caller): Authentication => ({ ok: true, caller });

describe('a caller who is known', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  /** How often it was told that the caller is known no more, and when, in seconds. */
  async function watched(answers: (Authentication | Promise<Authentication>)[]): Promise<number[]> {
    const ended: number[] = [];
    const began = Date.now();
    const ask = (): Authentication | Promise<Authentication> => answers.shift() ?? known(panel);
    new KnownCaller(panel, ask).watch(() => ended.push((Date.now() - began) / 1000));
    await jest.advanceTimersByTimeAsync(60_000);
    return ended;
  }

  it.each([
    ['nobody’s', UNKNOWN],
    ['nobody’s, later', Promise.resolve(UNKNOWN)],
    ['of another id', known({ ...panel, id: 'other' })],
    ['of another role', known({ ...panel, role: 'operator' })],
    ['of fewer devices', known({ ...panel, devices: ['lamp-1'] })],
    ['of more devices', known({ ...panel, devices: ['lamp-*', 'pump-1'] })],
  ])('is told once to be known no more, within 15 s, when its credentials are %s', async (_, answer) => {
    const ended = await watched([known(panel), known(panel), answer]);
    expect(ended).toHaveLength(1);
    expect(ended[0]).toBe(24);
    // With the two seconds that a file of keys takes, or the five that clocks may differ by.
    expect((ended[0] ?? 0) / 3 + 5).toBeLessThan(15);
  });

  it('stays known while it cannot be told, and while nothing changes', async () => {
    expect(await watched([])).toEqual([]);
    expect(await watched([UNAVAILABLE, Promise.resolve(UNAVAILABLE)])).toEqual([]);
  });

  it('is not asked for any more, nor told of, when nobody watches', async () => {
    let tell: (answer: Authentication) => void = () => undefined;
    let askedCount = 0;
    let endedCount = 0;
    const ask = (): Promise<Authentication> => {
      askedCount++;
      return new Promise((resolve) => (tell = resolve));
    };
    const end = new KnownCaller(panel, ask).watch(() => endedCount++);
    await jest.advanceTimersByTimeAsync(8000);
    end();
    tell(UNKNOWN);
    await jest.advanceTimersByTimeAsync(60_000);
    expect({ askedCount, endedCount }).toEqual({ askedCount: 1, endedCount: 0 });
  });
});

describe('who is the same', () => {
  const lamp: Caller = { id: 'lamp-1', role: 'device', devices: ['lamp-1'] };

  it.each([
    [lamp, { ...lamp, id: 'second key' }, true],
    [lamp, { ...lamp, devices: ['lamp-2'] }, false],
    [lamp, { ...lamp, role: 'component' }, false],
    [panel, { ...panel }, true],
    [panel, { ...panel, id: 'other' }, false],
    [panel, { ...panel, devices: ['lamp-*', 'x'] }, false],
  ] as const)('of %j and %j: %s', (one, other, same) => {
    expect(isSame(one, other)).toBe(same);
    expect(identityOf(one) === identityOf(other)).toBe(same);
  });
});
