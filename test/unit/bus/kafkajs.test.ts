import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import { createRequire } from 'node:module';
import { causesOf, isKafkaError, toBusError } from '../../../src/adapters/bus/kafka/errors.js';
import { installIdleTimerFix } from '../../../src/adapters/bus/kafka/idle-timer.js';
import {
  consumerGroupPrototype,
  metadataDefinition,
  requestQueuePrototype,
  runnerPrototype,
} from '../../../src/adapters/bus/kafka/kafkajs-internals.js';
import { KeyPartitioner } from '../../../src/adapters/bus/kafka/partitioner.js';
import { installStoppedFetchers } from '../../../src/adapters/bus/kafka/stopped-fetchers.js';
import { installTopicIds } from '../../../src/adapters/bus/kafka/topic-ids.js';
import { deferred, settlesWithin } from '../../../src/application/timing.js';

const load = createRequire(import.meta.url);
const RunnerClass = load('kafkajs/src/consumer/runner') as new (options: object) => {
  start(): Promise<void>;
  stop(): Promise<void>;
};

describe('The inside of kafkajs 2.2.4 that is reached into', () => {
  it('has a request queue that schedules checks, a consumer group that connects, and Metadata up to version 6', () => {
    expect(typeof requestQueuePrototype.scheduleCheckPendingRequests).toBe('function');
    expect(typeof requestQueuePrototype.checkPendingRequests).toBe('function');
    expect(typeof consumerGroupPrototype.connect).toBe('function');
    expect(typeof runnerPrototype.fetch).toBe('function');
    expect(metadataDefinition.versions.filter((version) => Number(version) < 10).at(-1)).toBe('6');
  });

  it('asks brokers of any age in a version that they know', () => {
    installTopicIds();
    installTopicIds();
    expect(metadataDefinition.versions.filter((version) => version === '10')).toHaveLength(1);
    for (const [known, asked] of [
      [10, 10],
      [9, 6],
      [7, 6],
      [6, 6],
      [5, 5],
    ] as const) {
      const { request } = metadataDefinition.protocol({ version: known })({ topics: ['a'] });
      expect(request.apiVersion).toBe(asked);
    }
  });

  it('arms no timer on a connection that has nothing waiting', () => {
    installIdleTimerFix();
    const queue = Object.create(requestQueuePrototype) as typeof requestQueuePrototype;
    Object.assign(queue, { throttledUntil: -1, throttleCheckTimeoutId: null, pending: [] });
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).toBeNull();
    Object.assign(queue, { pending: [{}] });
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).not.toBeNull();
    clearTimeout(queue.throttleCheckTimeoutId ?? undefined);
  });
});

describe('A consumer that is stopped', () => {
  const silent = { info: () => undefined, debug: () => undefined, namespace: () => silent };

  it('ends without waiting for the fetch under way, and takes nothing of it any more', async () => {
    installStoppedFetchers();
    const fetching = deferred<void>();
    const fetched = deferred<readonly object[]>();
    const events: string[] = [];
    const runner = new RunnerClass({
      logger: silent,
      consumerGroup: {
        connect: async () => undefined,
        joinAndSync: async () => undefined,
        heartbeat: async () => undefined,
        leave: async () => events.push('left'),
        getNodeIds: () => [1],
        fetch: () => {
          fetching.resolve();
          return fetched.promise;
        },
      },
      instrumentationEmitter: { emit: () => undefined },
      eachBatch: async () => events.push('batch'),
      onCrash: () => events.push('crash'),
      retry: { retries: 0 },
    });
    await runner.start();
    await fetching.promise;
    await runner.stop();
    expect(events).toEqual(['left']);
    fetched.resolve([{ isEmptyDueToFiltering: () => false, isEmpty: () => false }]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual(['left']);
  });

  it('while its fetchers are made anew ends, too', async () => {
    installStoppedFetchers();
    const inHand = deferred<void>();
    const fetching = deferred<void>();
    let nodeIds = [1, 2];
    let looks = 0;
    const consumerGroup = {
      connect: async () => undefined,
      joinAndSync: async () => undefined,
      heartbeat: async () => undefined,
      leave: async () => undefined,
      getNodeIds: () => {
        // Without an end to it the test itself could not go on.
        if (++looks > 1000) throw new TypeError('it looks for nodes over and over');
        return nodeIds;
      },
      fetch: async (nodeId: number) => {
        if (nodeId === 2) await inHand.promise;
        else await fetching.promise;
        return [];
      },
    };
    const runner = new RunnerClass({
      logger: silent,
      consumerGroup,
      instrumentationEmitter: { emit: () => undefined },
      onCrash: () => undefined,
      retry: { retries: 0 },
    });
    await runner.start();
    // A node's connection is closed: its fetcher ends, and all are to be made anew once the other one has, too.
    nodeIds = [2];
    fetching.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = runner.stop();
    inHand.resolve();

    expect(await settlesWithin(stopped, 5000)).toBe(true);
    expect(looks).toBeLessThan(100);
  });
});

describe('The choice of a partition', () => {
  it("is Kafka's own for every key and count of partitions", () => {
    const partitioner = new KeyPartitioner();
    const choose = partitioner.create();
    const original = kafkajs.Partitioners.DefaultPartitioner();
    const key = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(key, fc.integer({ min: 1, max: 100 }), (each, count) => {
        const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({
          partitionErrorCode: 0,
          partitionId,
          leader: 1,
          replicas: [],
          isr: [],
        }));
        const choice = { topic: 't', partitionMetadata, message: { key: each, value: null } };
        const expected = original(choice);
        expect(choose(choice)).toBe(expected);
        expect(choose(choice)).toBe(expected);
        expect(partitioner.place('t', { key: each, value: null })).toBe(expected);
      }),
    );
  });
});

describe('Errors of kafkajs', () => {
  it('are told in one line, with their kind and the first cause', () => {
    const cause = Object.assign(new Error('Connection error: getaddrinfo ENOTFOUND kafka\nmore'), {
      name: 'KafkaJSConnectionError',
      broker: 'kafka:9092',
    });
    const error = toBusError(Object.assign(new Error('retries exceeded'), { cause }), ['kafka:9092']);
    expect(error.code).toBe('unavailable');
    expect(error.message).toBe('KAFKA_BROKERS: cannot reach kafka:9092: getaddrinfo ENOTFOUND kafka more');
  });

  it('that speak of rights or credentials are never retried', () => {
    for (const type of [
      'TOPIC_AUTHORIZATION_FAILED',
      'GROUP_AUTHORIZATION_FAILED',
      'UNSUPPORTED_SASL_MECHANISM',
    ]) {
      const error = toBusError(Object.assign(new Error('no'), { type }), []);
      expect([error.code, error.canRetry]).toEqual(['misconfigured', false]);
    }
  });

  it('are found inside others, even in a ring', () => {
    const ring: { cause?: unknown; type: string } = { type: 'A' };
    ring.cause = ring;
    expect(causesOf(ring).length).toBeLessThan(100);
    expect(isKafkaError({ errors: [{ type: 'X' }, { type: 'Y' }] }, 'Y')).toBe(true);
    expect(isKafkaError('text', 'Y')).toBe(false);
  });
});
