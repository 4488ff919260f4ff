import { describe, expect, it } from '@jest/globals';
import { produceDefinition } from '../../../src/adapters/bus/kafka/kafkajs-internals.js';
import { installProduceEncoder } from '../../../src/adapters/bus/kafka/produce-encoder.js';

installProduceEncoder();

/** Of a send to partitions 3 and 5 of one topic. */
function decode(answer: Buffer): Promise<unknown> {
  const partitions = [3, 5].map((partition) => ({ partition, messages: [{ key: 'lamp', value: '{}' }] }));
  const make = produceDefinition.protocol({ version: 7 });
  return make({ acks: -1, timeout: 1, topicData: [{ topic: 't', partitions }] }).response.decode(answer);
}

function answer(topic: string, partitions: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 + 2 + topic.length + 4 + 30 * partitions.length + 4);
  let at = bytes.writeInt32BE(1, 0);
  at = bytes.writeInt16BE(topic.length, at);
  at += bytes.write(topic, at);
  at = bytes.writeInt32BE(partitions.length, at);
  for (const partition of partitions) at = bytes.writeInt32BE(partition, at) + 26;
  return bytes;
}

describe('The answer to a send', () => {
  it('acknowledges the partitions that were sent to', async () => {
    await expect(decode(answer('t', [5, 3]))).resolves.toMatchObject({ topics: [{ topicName: 't' }] });
  });

  it.each([
    ['other partitions', answer('t', [3, 7])],
    ['fewer partitions', answer('t', [5])],
    ['another topic', answer('u', [3, 5])],
    ['nothing', Buffer.alloc(8)],
  ])('is none where it is about %s', async (_, wrong) => {
    await expect(decode(wrong)).rejects.toMatchObject({
      message: expect.stringMatching(/^the answer says nothing of t\[[35]\]$/),
      retriable: true,
    });
  });
});
