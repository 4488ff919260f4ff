import { describe, expect, it, jest } from '@jest/globals';
import { type Cluster } from 'kafkajs';
import { Positions } from '../../../src/adapters/bus/kafka/positions.js';
import { deferred } from '../../../src/application/timing.js';
import { TopicLives } from '../../../src/adapters/bus/kafka/topic-lives.js';

describe('The lives of topics', () => {
  it('are looked at once for all that a fetch brought, and again after the next fetch', async () => {
    let now = 1_000;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now);
    try {
      let topicId = 'first';
      let looks = 0;
      const cluster = {
        refreshMetadata: async () => void looks++,
        findTopicPartitionMetadata: () => [{ topicId }],
      };
      const positions = new Positions();
      jest.spyOn(positions, 'isSameLife').mockImplementation((_, id) => id === 'first');
      const lives = new TopicLives(['update'], positions);
      lives.watch(cluster as unknown as Cluster);

      lives.fetched();
      expect(await lives.areCurrent()).toBe(true);
      now += 60_000;
      expect(await lives.areCurrent()).toBe(true);
      expect(looks).toBe(1);

      lives.fetched();
      topicId = 'another';
      expect(await lives.areCurrent()).toBe(false);
      expect(looks).toBe(2);
    } finally {
      clock.mockRestore();
    }
  });

  it('are not known by a look that was asked for before the fetch, but for a moment', async () => {
    let now = 1_000;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now);
    try {
      let looks = 0;
      const answer = deferred<void>();
      const lives = new TopicLives(['update'], new Positions());
      const cluster = {
        refreshMetadata: async () => {
          looks++;
          await answer.promise;
        },
        findTopicPartitionMetadata: () => [],
      };
      lives.watch(cluster as unknown as Cluster);
      lives.fetched();
      const first = lives.areCurrent();
      lives.fetched();
      const second = lives.areCurrent();
      // Asked at 1000, answered now.
      now += 24;
      answer.resolve();
      expect([await first, await second, looks]).toEqual([true, true, 1]);
      now += 1;
      expect([await lives.areCurrent(), looks]).toEqual([true, 2]);
    } finally {
      clock.mockRestore();
    }
  });

  it('are looked at once more where the look that is under way is older than the fetch', async () => {
    let now = 1_000;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now);
    try {
      const answers = [deferred<void>(), deferred<void>()];
      let looks = 0;
      const lives = new TopicLives(['update'], new Positions());
      const cluster = {
        refreshMetadata: () => answers[looks++]?.promise,
        findTopicPartitionMetadata: () => [],
      };
      lives.watch(cluster as unknown as Cluster);
      lives.fetched();
      const first = lives.areCurrent();
      now += 1_000;
      lives.fetched();
      let isKnown = false;
      const second = lives.areCurrent().then(() => (isKnown = true));
      answers[0]?.resolve();
      await first;
      await new Promise((resolve) => setImmediate(resolve));
      expect([isKnown, looks]).toEqual([false, 2]);
      answers[1]?.resolve();
      await second;
      expect([isKnown, looks]).toEqual([true, 2]);
    } finally {
      clock.mockRestore();
    }
  });
});
