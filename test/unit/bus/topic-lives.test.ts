import { describe, expect, it, jest } from '@jest/globals';
import { type Cluster } from 'kafkajs';
import { Positions } from '../../../src/adapters/bus/kafka/positions.js';
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
      const lives = new TopicLives(['update'], new Positions());
      const cluster = {
        refreshMetadata: async () => {
          if (looks++ === 0) lives.fetched();
        },
        findTopicPartitionMetadata: () => [],
      };
      lives.watch(cluster as unknown as Cluster);
      await lives.areCurrent();
      now += 24;
      await lives.areCurrent();
      expect(looks).toBe(1);
      now += 1;
      await lives.areCurrent();
      expect(looks).toBe(2);
    } finally {
      clock.mockRestore();
    }
  });
});
