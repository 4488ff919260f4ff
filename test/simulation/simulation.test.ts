import { describe, expect, it } from '@jest/globals';
import { hashOf, simulate } from './support.js';

/** What CI runs. The seeds are the same each time; others are tried with `SIMULATION_FROM`, or `npm run simulate`. */
const SEED_COUNT = 2000;
const FROM = process.env['SIMULATION_FROM'] ?? '1';
const TIMEOUT_MS = 1_800_000;

describe('the simulation of the whole command path', () => {
  it(
    `holds every invariant at every step of ${SEED_COUNT} seeds from ${FROM} on, with 300 commands each`,
    async () => {
      const { code, output } = await simulate('--seeds', String(SEED_COUNT), '--from', FROM);

      expect(output).toContain(`${SEED_COUNT} seeds: 0 failed`);
      expect(code).toBe(0);
      // What it is there for was met, and often.
      for (const met of [
        'conflicts',
        'repeats recalled',
        'publish tried again',
        'append tried again',
        'consumer restarts',
      ]) {
        expect(output).toMatch(new RegExp(`${met}: \\d{3,}`));
      }
    },
    TIMEOUT_MS,
  );

  it('replays a seed bit for bit, in every process', async () => {
    const [first, second, other] = await Promise.all([
      simulate('--seed', '7'),
      simulate('--seed', '7'),
      simulate('--seed', '8'),
    ]);

    expect(first.output.split('\n').length).toBeGreaterThan(500);
    expect(second.output).toBe(first.output);
    expect(hashOf(first)).toMatch(/^[0-9a-f]{16}$/);
    expect(hashOf(other)).not.toBe(hashOf(first));
  });

  it('runs each seed the same whatever ran in its process before', async () => {
    const inOne = await simulate('--seeds', '24', '--jobs', '1');
    const inFour = await simulate('--seeds', '24', '--jobs', '4');

    expect(inOne.output).toContain('24 seeds: 0 failed');
    expect(hashOf(inFour)).toBe(hashOf(inOne));
  });
});
