import { readFileSync } from 'node:fs';
import kafkajs, { type Consumer, type Kafka, type KafkaConfig, type Producer } from 'kafkajs';
import { type Settings } from '../src/config/settings.js';
import { ANSWER_CHANNELS, type Answer, type AnswerChannel, type RequestChannel } from './documents.js';
import { MESSAGE_TIMEOUT_MS, type Link } from './link.js';
import { Mailbox } from './mailbox.js';

/** A client for the brokers that the service itself uses. */
export function kafkaOf(settings: Settings): Kafka {
  const config: KafkaConfig = {
    clientId: 'device-state-replica-demo',
    brokers: (settings.KAFKA_BROKERS ?? '').split(',').map((broker) => broker.trim()),
    logLevel: kafkajs.logLevel.NOTHING,
  };
  if (settings.KAFKA_TLS === 'on') {
    const { KAFKA_TLS_CA_FILE: ca, KAFKA_TLS_CERT_FILE: cert, KAFKA_TLS_KEY_FILE: key } = settings;
    config.ssl = {
      ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
      ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
      ...(key === undefined ? {} : { key: readFileSync(key) }),
    };
  }
  const { KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = settings;
  if (KAFKA_SASL_MECHANISM !== undefined && username !== undefined && password !== undefined) {
    const mechanism = KAFKA_SASL_MECHANISM as 'plain' | 'scram-sha-256' | 'scram-sha-512';
    config.sasl = { mechanism, username, password } as KafkaConfig['sasl'];
  }
  return new kafkajs.Kafka(config);
}

/** Kafka, as any producer and consumer speaks it: the key is the device, the value is the document. */
export class KafkaLink implements Link {
  readonly hasGetBody = true;
  private readonly mailbox: Mailbox;
  private readonly producer: Producer;
  private consumer: Consumer | undefined;

  constructor(
    private readonly owner: string,
    private readonly kafka: Kafka,
    private readonly prefix: string,
    readonly deviceId: string,
  ) {
    this.mailbox = new Mailbox(owner);
    this.producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  }

  address(channel: RequestChannel | AnswerChannel): string {
    return `${this.topic(channel)} [${this.deviceId}]`;
  }

  private topic(channel: RequestChannel | AnswerChannel): string {
    return `${this.prefix}.${channel}`;
  }

  async open(): Promise<void> {
    await this.producer.connect();
    await this.connect();
  }

  async close(): Promise<void> {
    await Promise.all([this.producer.disconnect(), this.disconnect()]);
  }

  async send(channel: RequestChannel, request: object): Promise<void> {
    await this.producer.send({
      topic: this.topic(channel),
      messages: [{ key: this.deviceId, value: JSON.stringify(request) }],
    });
  }

  /** In a group of its own, so that it goes on after the last message that it took. */
  async connect(): Promise<void> {
    if (this.consumer !== undefined) return;
    const consumer = this.kafka.consumer({ groupId: this.groupId });
    this.consumer = consumer;
    await consumer.connect();
    const channels = new Map(ANSWER_CHANNELS.map((channel) => [this.topic(channel), channel]));
    await consumer.subscribe({ topics: [...channels.keys()], fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ topic, message }) => {
        const channel = channels.get(topic);
        if (channel === undefined || message.key?.toString() !== this.deviceId) return;
        this.mailbox.put(channel, JSON.parse(message.value?.toString() ?? '') as Answer);
      },
    });
  }

  async disconnect(): Promise<void> {
    const { consumer } = this;
    this.consumer = undefined;
    await consumer?.disconnect();
  }

  get groupId(): string {
    return `${this.prefix}.${this.owner}`;
  }

  receive(channel: AnswerChannel, what: string, matches: (answer: Answer) => boolean): Promise<Answer> {
    return this.mailbox.take(channel, what, matches, MESSAGE_TIMEOUT_MS);
  }

  fail(error: Error): void {
    this.mailbox.fail(error);
  }
}
