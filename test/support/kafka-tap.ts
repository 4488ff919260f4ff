import { type Kafka, type IHeaders } from 'kafkajs';
import { until } from './http.js';

export interface TappedMessage {
  readonly topic: string;
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Gathers all that these topics hold and get, as any other program would read them. */
export class KafkaTap {
  readonly messages: TappedMessage[] = [];

  private constructor(private readonly close: () => Promise<void>) {}

  static async open(kafka: Kafka, topics: readonly string[]): Promise<KafkaTap> {
    const consumer = kafka.consumer({ groupId: `tap-${topics[0]}-${Date.now()}` });
    const tap = new KafkaTap(() => consumer.disconnect());
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ topic, partition, message: { key, value, headers } }) => {
        tap.messages.push({
          topic,
          partition,
          key: key?.toString() ?? null,
          value: value?.toString() ?? null,
          headers: textOf(headers),
        });
      },
    });
    return tap;
  }

  /** The messages of one topic and key, once there are so many. */
  async has(count: number, topic: string, key?: string): Promise<TappedMessage[]> {
    const matching = (): TappedMessage[] =>
      this.messages.filter(
        (message) => message.topic === topic && (key === undefined || message.key === key),
      );
    await until(
      `${count} messages in ${topic}, there are ${matching().length}`,
      () => matching().length >= count,
    );
    return matching();
  }

  stop(): Promise<void> {
    return this.close();
  }
}

function textOf(headers: IHeaders = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
