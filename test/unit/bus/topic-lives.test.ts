import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Cluster } from 'kafkajs';
import { Positions } from '../../../src/adapters/bus/kafka/positions.js';
import { deferred } from '../../../src/application/timing.js';
import { TopicLives } from '../../../src/adapters/bus/kafka/topic-lives.js';

describe('The lives of topics', () => {
  let now = 1_000;
  let looks = 0;

  beforeEach(() => {
    now = 1_000;
    looks = 0;
    jest.spyOn(Date, 'now').mockImplementation(() => now);
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  /** @param answer what the look of that number, from 0 on, waits for */
  function watched(
    answer: (look: number) => Promise<void> | undefined,
    topicId = (): string | undefined => undefined,
    positions = new Positions(),
  ): TopicLives {
    const cluster = {
      refreshMetadata: () => answer(looks++),
      findTopicPartitionMetadata: () => [{ topicId: topicId() }],
    };
    const lives = new TopicLives(['update'], positions);
    lives.watch(cluster as unknown as Cluster);
    return lives;
  }

  it('are looked at once for all that a fetch brought, and again after the next fetch', async () => {
    let topicId = 'first';
    const positions = new Positions();
    jest.spyOn(positions, 'isSameLife').mockImplementation((_, id) => id === 'first');
    const lives = watched(
      () => undefined,
      () => topicId,
      positions,
    );

    lives.fetched();
    expect(await lives.areCurrent()).toBe(true);
    now += 60_000;
    expect(await lives.areCurrent()).toBe(true);
    expect(looks).toBe(1);

    lives.fetched();
    topicId = 'another';
    expect(await lives.areCurrent()).toBe(false);
    expect(looks).toBe(2);
  });

  it('are not known by a look that was asked for before the fetch, but for a moment', async () => {
    const answer = deferred<void>();
    const lives = watched(() => answer.promise);
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
  });

  it('are looked at once more where the look that is under way is older than the fetch', async () => {
    const answers = [deferred<void>(), deferred<void>()];
    const lives = watched((look) => answers[look]?.promise);
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
  });
});
