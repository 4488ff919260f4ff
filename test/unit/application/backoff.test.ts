import { describe, expect, it } from '@jest/globals';
import { Backoff } from '../../../src/application/backoff.js';
import { pause } from '../../../src/application/timing.js';

describe('Backoff', () => {
  it('doubles up to its last delay, shortened by up to half', () => {
    for (let round = 0; round < 50; round++) {
      const backoff = new Backoff(50, 400);
      for (const full of [50, 100, 200, 400, 400, 400]) {
        const delay = backoff.nextDelayMs();
        expect(delay).toBeGreaterThanOrEqual(full / 2);
        expect(delay).toBeLessThanOrEqual(full);
      }
    }
  });

  it('stays at its last delay for ever', () => {
    const backoff = new Backoff(1, 5000);
    let delay = 0;
    for (let n = 0; n < 5000; n++) delay = backoff.nextDelayMs();
    expect(delay).toBeGreaterThanOrEqual(2500);
    expect(delay).toBeLessThanOrEqual(5000);
  });
});

describe('pause', () => {
  it('resolves, also for no time at all', async () => {
    await pause(0);
    await pause(1);
  });
});
