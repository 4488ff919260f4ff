import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { BusError } from '../../src/application/ports/bus.js';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.js';
import { describeWithKafka, describeWithKafkaStarter } from '../support/kafka.js';
import { handlersFor, until } from '../contracts/bus.contract.js';
import { Bench, PARTITIONS } from './kafka-bus.support.js';

async function failureOf(work: Promise<unknown>): Promise<BusError> {
  const failure = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(failure instanceof BusError)) throw new Error(`Expected a BusError, got ${String(failure)}`);
  expect(failure.message).not.toContain('\n');
  return failure;
}

describe('The Kafka bus without a broker', () => {
  const bench = new Bench('127.0.0.1:1');

  afterEach(() => bench.close());

  it('says in time which name cannot be found', async () => {
    const start = Date.now();
    const bus = bench.bus({ brokers: ['nowhere.invalid:9092'], connectTimeoutMs: 1_000 });
    const failure = await failureOf(bus.connect());
    expect(Date.now() - start).toBeLessThan(5_000);
    expect(failure.code).toBe('unavailable');
    expect(failure.message).toMatch(
      /^KAFKA_BROKERS: cannot reach nowhere\.invalid:9092: getaddrinfo \w+ nowhere\.invalid$/,
    );
  });

  it('says in time that nobody listens', async () => {
    const failure = await failureOf(bench.bus({ connectTimeoutMs: 1_000 }).connect());
    expect(failure.code).toBe('unavailable');
    expect(failure.message).toBe('KAFKA_BROKERS: cannot reach 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1');
  });

  it('says in time that somebody listens and does not answer', async () => {
    const server: Server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const start = Date.now();
    const bus = bench.bus({ brokers: [`127.0.0.1:${port}`], connectTimeoutMs: 1_000 });
    const failure = await failureOf(bus.connect());
    expect(Date.now() - start).toBeLessThan(5_000);
    expect(failure.code).toBe('unavailable');
    expect(failure.message).toContain(`127.0.0.1:${port}`);
    expect(bus.health()).not.toBeNull();
    await bus.stop();
    server.close();
  });

  it('refuses to consume before it is connected', async () => {
    await expect(bench.bus().consume(new Map())).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describeWithKafka('The Kafka bus and its topics', (brokers) => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench(brokers);
  });

  afterEach(() => bench.close());

  async function topics(): Promise<Map<string, number>> {
    const admin = await bench.admin();
    const names = (await admin.listTopics()).filter((name) => name.startsWith(`${bench.prefix}.`));
    const metadata = await admin.fetchTopicMetadata({ topics: names });
    return new Map(
      metadata.topics.map(({ name, partitions }) => [name.slice(bench.prefix.length + 1), partitions.length]),
    );
  }

  const ALWAYS = [
    'dead-letter',
    'delete',
    'delete.accepted',
    'delete.rejected',
    'get',
    'get.accepted',
    'get.rejected',
    'replies',
    'update',
    'update.accepted',
    'update.delta',
    'update.rejected',
  ];

  it('makes the missing topics with the configured partitions, also when several instances start at once', async () => {
    await Promise.all([bench.connected(), bench.connected(), bench.connected()]);
    const found = await topics();
    expect([...found.keys()].sort()).toEqual(ALWAYS);
    expect(new Set(found.values())).toEqual(new Set([PARTITIONS]));
  });

  it('makes a compacted topic of documents when they are published', async () => {
    await bench.connected({ publishDocuments: true });
    expect([...(await topics()).keys()].sort()).toEqual([...ALWAYS, 'update.documents'].sort());
    const admin = await bench.admin();
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: `${bench.prefix}.update.documents`, configNames: ['cleanup.policy'] }],
    });
    expect(resources[0]?.configEntries[0]?.configValue).toBe('compact');
  });

  it('refuses a topic with fewer partitions than configured, and says what to do', async () => {
    await bench.connected();
    const failure = await failureOf(bench.connected({ partitions: PARTITIONS + 1 }));
    expect(failure.code).toBe('misconfigured');
    expect(failure.message).toContain(`topic ${bench.updates} has 2 partitions, 3 are configured`);
    expect(failure.message).toContain('KAFKA_PARTITION_COUNT=2');
  });

  it('takes a topic with more partitions than configured', async () => {
    await bench.connected();
    await bench.connected({ partitions: PARTITIONS - 1 });
  });

  it('refuses more replicas than there are brokers', async () => {
    const failure = await failureOf(bench.connected({ replicationFactor: 99 }));
    expect(failure.code).toBe('misconfigured');
    expect(failure.message).toMatch(/^KAFKA_REPLICATION_COUNT: 99/);
  });
});

describeWithKafkaStarter('The Kafka bus on a broker that asks who one is', () => {
  const credentials = { username: 'replica', password: 'secret' };
  let broker: KafkaBroker;
  let bench: Bench;

  beforeEach(async () => {
    broker ??= await startKafkaBroker({ sasl: credentials, ssl: true });
    bench = new Bench(broker.brokers);
  });

  afterEach(() => bench.close());
  afterAll(() => broker?.stop());

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) {
    it(`gets in by ${mechanism}, over TLS, and works`, async () => {
      const bus = await bench.connected({
        brokers: [broker.saslSslBrokers ?? ''],
        sasl: { mechanism, ...credentials },
        ssl: { ca: readFileSync(broker.caPath ?? '') },
      });
      const seen: string[] = [];
      await bus.consume(
        handlersFor('update', async ({ messages }) => {
          seen.push(...messages.map(({ value }) => String(value)));
        }),
      );
      await bench.sendUpdates(['1']);
      await until(() => seen.length === 1);
    });

    it(`says that ${mechanism} credentials are wrong`, async () => {
      const failure = await failureOf(
        bench.connected({
          brokers: [broker.saslBrokers ?? ''],
          sasl: { mechanism, username: 'replica', password: 'wrong' },
        }),
      );
      expect(failure.code).toBe('misconfigured');
      expect(failure.message).toMatch(/^KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: refused by the broker/);
    });
  }

  it('says that a certificate is not trusted', async () => {
    const failure = await failureOf(bench.connected({ brokers: [broker.sslBrokers ?? ''], ssl: true }));
    expect(failure.code).toBe('misconfigured');
    expect(failure.message).toMatch(/^KAFKA_TLS_CA_FILE: the broker's certificate is not trusted/);
  });

  it('takes a certificate unseen when told so', async () => {
    await bench.connected({ brokers: [broker.sslBrokers ?? ''], ssl: { rejectUnauthorized: false } });
  });

  it('does not hang on a listener that wants TLS or SASL and gets neither', async () => {
    for (const address of [broker.sslBrokers, broker.saslBrokers]) {
      const failure = await failureOf(bench.connected({ brokers: [address ?? ''], connectTimeoutMs: 2_000 }));
      expect(failure.code).toBe('unavailable');
      expect(failure.message).toMatch(/KAFKA_BROKERS: .*(KAFKA_TLS|KAFKA_SASL)/);
    }
  });
});
