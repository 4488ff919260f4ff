import type { Message, TopicMessages } from 'kafkajs';
import type { ProduceArguments } from './kafkajs-internals.js';

/*
 * kafkajs 2.2.4 groups the messages of a topic by partition, and for each message copies all that its partition had
 * before it. So it is given one message for each partition, which stands for all of them, and the produce encoder puts
 * them in its place.
 */

/** A message and where it goes; null: kafkajs is to choose. */
export interface Placed {
  readonly topic: string;
  readonly partition: number | null;
  readonly message: Message;
}

interface Bundle extends Message {
  readonly bundled: Message[];
}

/** The messages as kafkajs wants them, those of each partition in one bundle and in order. */
export function bundle(messages: readonly Placed[]): TopicMessages[] {
  const topics = new Map<string, { readonly messages: Message[]; readonly bundles: Bundle[] }>();
  for (const { topic, partition, message } of messages) {
    let own = topics.get(topic);
    if (own === undefined) topics.set(topic, (own = { messages: [], bundles: [] }));
    if (partition === null) {
      own.messages.push(message);
      continue;
    }
    const known = own.bundles[partition];
    if (known !== undefined) {
      known.bundled.push(message);
      continue;
    }
    const first: Bundle = { partition, value: null, bundled: [message] };
    own.bundles[partition] = first;
    own.messages.push(first);
  }
  return [...topics].map(([topic, own]) => ({ topic, messages: own.messages }));
}

/** The request with the messages in the place of their bundles. */
export function unbundle<T extends ProduceArguments>(request: T): T {
  const topicData = request.topicData.map(({ partitions, ...topic }) => ({
    ...topic,
    partitions: partitions.map(({ messages, ...partition }) => ({
      ...partition,
      messages: messages.flatMap((message) => (message as Partial<Bundle>).bundled ?? (message as Message)),
    })),
  }));
  return { ...request, topicData };
}
