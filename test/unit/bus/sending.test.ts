import { describe, expect, it } from '@jest/globals';
import { createRequire } from 'node:module';
import { ONCE, sendWhole } from '../../../src/adapters/bus/kafka/sending.js';

const load = createRequire(import.meta.url);
const createRetry = load('kafkajs/src/retry') as (options: object) => unknown;
const createSendMessages = load('kafkajs/src/producer/sendMessages') as (
  parts: object,
) => (batch: object) => Promise<unknown>;
const { KafkaJSProtocolError } = load('kafkajs/src/errors') as {
  KafkaJSProtocolError: new (error: object) => Error;
};

const RETRY = { initialRetryTime: 1, maxRetryTime: 2, factor: 0, multiplier: 1, retries: 3 };

/** kafkajs's own producing, on two nodes: of partitions 0 and 1, each led by one, the second moves to node 0 amid a send. */
function movingLeader(retry: object): { send: () => Promise<unknown>; arrived: string[] } {
  const arrived: string[] = [];
  const leaders = [0, 1];
  const silent = { debug: () => undefined, error: () => undefined };
  const node = (nodeId: number): object => ({
    nodeId,
    produce: async ({ topicData }: { topicData: { partitions: Part[] }[] }) => {
      if (nodeId === 1) {
        leaders[1] = 0;
        throw new KafkaJSProtocolError({ type: 'NOT_LEADER_FOR_PARTITION', code: 6, retriable: true });
      }
      for (const { partitions } of topicData) {
        for (const { partition, messages } of partitions) {
          expect(leaders[partition]).toBe(nodeId);
          arrived.push(...messages.map(({ value }) => value));
        }
      }
      return { topics: [] };
    },
  });
  const nodes = [node(0), node(1)];
  const cluster = {
    addMultipleTargetTopics: async () => undefined,
    refreshMetadataIfNecessary: async () => undefined,
    refreshMetadata: async () => undefined,
    isConnected: () => true,
    findTopicPartitionMetadata: () => [0, 1],
    findLeaderForPartitions: (_: string, partitions: string[]) => {
      const byLeader: Record<number, number[]> = {};
      for (const name of partitions) (byLeader[leaders[Number(name)] as number] ??= []).push(Number(name));
      return byLeader;
    },
    findBroker: async ({ nodeId }: { nodeId: string }) => nodes[Number(nodeId)],
  };
  const eosManager = {
    acquireBrokerLock: async () => undefined,
    releaseBrokerLock: async () => undefined,
    isTransactional: () => false,
    getSequence: () => 0,
    updateSequence: () => undefined,
    getProducerId: () => -1,
    getProducerEpoch: () => 0,
  };
  const partitioner = ({ message }: { message: { partition: number } }): number => message.partition;
  const retrier = createRetry({ ...RETRY, ...retry });
  const sendMessages = createSendMessages({ logger: silent, cluster, partitioner, eosManager, retrier });
  const messages = [0, 1].map((partition) => ({ partition, key: null, value: `to ${partition}` }));
  return { send: () => sendMessages({ acks: -1, topicMessages: [{ topic: 't', messages }] }), arrived };
}

interface Part {
  readonly partition: number;
  readonly messages: readonly { readonly value: string }[];
}

describe('What is sent while a partition gets another leader', () => {
  it("arrives, though kafkajs's own second try would drop it and call it sent", async () => {
    const { send, arrived } = movingLeader(ONCE);

    await sendWhole(send, RETRY);

    expect(new Set(arrived)).toEqual(new Set(['to 0', 'to 1']));
  });

  it('is what this is still needed for with this version of kafkajs', async () => {
    const { send, arrived } = movingLeader(RETRY);

    await send();

    expect(arrived).toEqual(['to 0']);
  });
});

describe('Sending again', () => {
  const failure = (name: string): Error => Object.assign(new Error(name), { name });

  it.each([
    ['KafkaJSNumberOfRetriesExceeded', 4],
    ['KafkaJSNonRetriableError', 1],
    ['KafkaJSError', 1],
  ])('ends after %s, having tried %i times', async (name, tries) => {
    let tried = 0;
    const send = async (): Promise<void> => {
      tried++;
      throw failure(name);
    };

    await expect(sendWhole(send, RETRY)).rejects.toThrow(name);

    expect(tried).toBe(tries);
  });
});
