import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Message } from 'kafkajs';
import { createRequire } from 'node:module';
import { bundle, type Placed, unbundle } from '../../../src/adapters/bus/kafka/bundles.js';
import { type ProduceArguments } from '../../../src/adapters/bus/kafka/kafkajs-internals.js';

const load = createRequire(import.meta.url);
type ByPartition = Record<string, Message[]>;
const group = load('kafkajs/src/producer/groupMessagesPerPartition') as (options: {
  topic: string;
  partitionMetadata: object[];
  messages: Message[];
  partitioner: (choice: { message: Message }) => number;
}) => ByPartition;
const createTopicData = load('kafkajs/src/producer/createTopicData') as (
  topics: { topic: string; partitions: number[]; messagesPerPartition: ByPartition }[],
) => ProduceArguments['topicData'];

const PARTITIONS = 3;
/** Where kafkajs sends a message for which it chooses. */
const CHOSEN = 1;

/** The request that kafkajs makes of the messages, as {@link unbundle} leaves it. */
function requestOf(topicMessages: readonly { topic: string; messages: Message[] }[]): ProduceArguments {
  const topics = topicMessages.map(({ topic, messages }) => {
    const partitioner = ({ message }: { message: Message }): number => message.partition ?? CHOSEN;
    const messagesPerPartition = group({ topic, partitionMetadata: [{}], messages, partitioner });
    return { topic, partitions: Object.keys(messagesPerPartition).map(Number), messagesPerPartition };
  });
  return unbundle({ acks: -1, timeout: 1, topicData: createTopicData(topics) });
}

describe('Messages in bundles', () => {
  const placed = fc.record({
    topic: fc.constantFrom('a', 'b'),
    partition: fc.option(fc.nat(PARTITIONS - 1)),
    size: fc.nat(9),
  });

  it('become the request that they become one by one, each partition in order', () => {
    fc.assert(
      fc.property(fc.array(placed, { maxLength: 30 }), (all) => {
        const messages = all.map(({ topic, partition, size }, index): Placed => {
          const message = { key: `${index}`, value: 'x'.repeat(size) };
          return { topic, partition, message };
        });
        for (const topic of ['a', 'b']) {
          for (let partition = 0; partition < PARTITIONS; partition++) {
            const wanted = messages.filter((each) => each.topic === topic && each.partition === partition);
            const got = requestOf(bundle(messages))
              .topicData.find((each) => each.topic === topic)
              ?.partitions.find((each) => each.partition === partition)?.messages;
            const known = (got ?? []).filter((message) => wanted.some((each) => each.message === message));
            expect(known).toStrictEqual(wanted.map(({ message }) => message));
          }
        }
        const sent = requestOf(bundle(messages)).topicData.flatMap(({ partitions }) =>
          partitions.flatMap((each) => each.messages),
        );
        expect(new Set(sent)).toStrictEqual(new Set(messages.map(({ message }) => message)));
        expect(sent).toHaveLength(messages.length);
      }),
    );
  });

  it('are one message for each partition, and those without one are left alone', () => {
    const message = { value: 'v' };
    const placed = [0, 1, 0, null, 0].map((partition): Placed => ({ topic: 'a', partition, message }));
    const [topic] = bundle(placed);
    expect(topic?.messages).toHaveLength(3);
    expect(topic?.messages.map(({ partition }) => partition)).toStrictEqual([0, 1, undefined]);
  });
});
