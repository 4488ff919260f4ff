import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Kafka, logLevel, type KafkaConfig, type SASLOptions } from 'kafkajs';
import { startKafkaBroker, type KafkaBroker } from '../support/kafka-broker.js';
import { describeWithKafka, describeWithKafkaStarter } from '../support/kafka.js';
import { addressOf, startProxiedKafka } from '../support/proxied-kafka.js';

const START_TIMEOUT_MS = 300_000;

function client(brokers: string | undefined, config: Partial<KafkaConfig> = {}): Kafka {
  if (brokers === undefined) throw new Error('The broker lacks this listener.');
  return new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING, ...config });
}

async function createTopic(kafka: Kafka, topic: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
  await admin.disconnect();
}

async function produce(kafka: Kafka, topic: string, values: string[]): Promise<void> {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, acks: -1, messages: values.map((value) => ({ key: 'device', value })) });
  await producer.disconnect();
}

async function consume(kafka: Kafka, topic: string, count: number): Promise<string[]> {
  const consumer = kafka.consumer({ groupId: `${topic}-readers-${Date.now()}` });
  const values: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    consumer
      .run({
        eachMessage: async ({ message }) => {
          values.push(String(message.value));
          if (values.length === count) resolve();
        },
      })
      .catch(reject);
  });
  await consumer.disconnect();
  return values;
}

async function clusterSize(kafka: Kafka): Promise<number> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return (await admin.describeCluster()).brokers.length;
  } finally {
    await admin.disconnect();
  }
}

describeWithKafka('the shared Kafka broker', (brokers) => {
  it('gives records back in their order', async () => {
    const topic = `shared-broker-${Date.now()}`;
    const kafka = client(brokers);
    await createTopic(kafka, topic);
    await produce(kafka, topic, ['one', 'two', 'three']);
    expect(await consume(kafka, topic, 3)).toEqual(['one', 'two', 'three']);
  });

  it('is not named to the service under test', () => {
    expect(process.env.KAFKA_BROKERS).toBeUndefined();
  });
});

describeWithKafkaStarter('a Kafka broker of a suite of its own', () => {
  const sasl = { username: 'replica', password: 'right-password' };
  let broker: KafkaBroker;

  beforeAll(async () => {
    broker = await startKafkaBroker({ sasl, ssl: true });
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await broker.stop();
  });

  it(
    'keeps its records when it is killed and restarted',
    async () => {
      const kafka = client(broker.brokers);
      await createTopic(kafka, 'killed');
      await produce(kafka, 'killed', ['before']);
      const pidBefore = broker.pid;
      await broker.kill();
      await expect(clusterSize(client(broker.brokers, { retry: { retries: 0 } }))).rejects.toThrow();
      await broker.restart();
      expect(broker.pid).not.toBe(pidBefore);
      await produce(kafka, 'killed', ['after']);
      expect(await consume(kafka, 'killed', 2)).toEqual(['before', 'after']);
    },
    START_TIMEOUT_MS,
  );

  describe.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('with SASL %s', (mechanism) => {
    const login = (password: string): SASLOptions => ({ mechanism, username: sasl.username, password });

    it('lets the right password in', async () => {
      expect(await clusterSize(client(broker.saslBrokers, { sasl: login(sasl.password) }))).toBe(1);
    });

    it('keeps a wrong password out', async () => {
      const kafka = client(broker.saslBrokers, { sasl: login('wrong'), retry: { retries: 0 } });
      await expect(clusterSize(kafka)).rejects.toThrow(/authentication/i);
    });
  });

  it('speaks TLS to a client that trusts its certificate, with and without SASL', async () => {
    const ssl = { ca: [readFileSync(String(broker.caPath), 'utf8')] };
    expect(await clusterSize(client(broker.sslBrokers, { ssl }))).toBe(1);
    const login: SASLOptions = { mechanism: 'scram-sha-512', ...sasl };
    expect(await clusterSize(client(broker.saslSslBrokers, { ssl, sasl: login }))).toBe(1);
  });

  it('is refused by a TLS client that does not trust its certificate', async () => {
    const kafka = client(broker.sslBrokers, { ssl: true, retry: { retries: 0 } });
    await expect(clusterSize(kafka)).rejects.toThrow(/certificate/i);
  });
});

describeWithKafkaStarter('a Kafka broker behind proxies', () => {
  it(
    'sends those who come through one to that one, also by TLS, and nobody else',
    async () => {
      const behind = await startProxiedKafka(1, ['plain', 'tls']);
      const { broker, proxies } = behind;
      const ssl = { ca: [readFileSync(String(broker.caPath), 'utf8')] };
      try {
        const [plain, tls] = proxies;
        if (plain === undefined || tls === undefined) throw new Error('no proxies');
        for (const [kafka, port] of [
          [client(broker.brokers), broker.port],
          [client(addressOf(plain)), plain.port],
          [client(addressOf(tls), { ssl }), tls.port],
        ] as const) {
          const admin = kafka.admin();
          await admin.connect();
          const { brokers } = await admin.describeCluster();
          await admin.disconnect();
          expect(brokers.map((each) => each.port)).toEqual([port]);
        }
        expect(plain.accepted).toBeGreaterThan(0);
        expect(tls.accepted).toBeGreaterThan(0);
      } finally {
        await behind.stop();
      }
    },
    START_TIMEOUT_MS,
  );
});
