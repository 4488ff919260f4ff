import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  connectionStringOf,
  type EventStoreServer,
  startEventStoreServer,
} from '../support/eventstore-server/index.js';
import { type FaultKind, ALL_KINDS, BLACK_HOLE, CUT, REFUSED } from './network-faults.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { FaultRun } from '../support/fault-run.js';
import { describeWithKafkaStarter } from '../support/kafka.js';
import { describeWithPostgresStarter } from '../support/postgres.js';
import { until } from '../support/kafka-run.js';
import { KillRun, LIMIT_MS } from '../support/kill-run.js';
import { type PostgresServer, startPostgresServer } from '../support/postgres-server.js';
import { addressOf, type ProxiedKafka, startProxiedKafka } from '../support/proxied-kafka.js';
import { faultSeed } from '../support/random.js';
import { runStoreOf } from '../support/run-store.js';
import { type ServiceSample } from '../support/service-sample.js';
import {
  expectBounded,
  expectFoldedLists,
  expectTold,
  listsAreUpToDate,
  settingsUnderFaults,
  tell,
} from './network-faults.expectations.js';

const seed = faultSeed();
const AWAY_AT_START_MS = 5_000;

const OF_EVENT_STORE = /^EVENTSTORE_CONNECTION_STRING: event store 127\.0\.0\.1:\d+: ./;
const OF_KAFKA = /^KAFKA_BROKERS: ./;

describeWithKafkaStarter(`while the network to its servers fails (FAULT_SEED=${seed})`, () => {
  describeWithPostgresStarter('the service on Kafka, the event store and PostgreSQL', () => {
    let kafka: ProxiedKafka;
    let server: EventStoreServer;
    let postgres: PostgresServer;
    let toStore: FaultProxy;
    let toPostgres: FaultProxy;
    let run: FaultRun;

    beforeAll(async () => {
      [kafka, server, postgres] = await Promise.all([
        startProxiedKafka(seed, ['plain']),
        startEventStoreServer(),
        startPostgresServer(),
      ]);
      toStore = await FaultProxy.start({ target: server.port, seed: seed + 1 });
      toPostgres = await FaultProxy.start({ target: postgres.port, seed: seed + 2 });
      const through = new URL(postgres.url);
      through.port = String(toPostgres.port);
      const settings = {
        ...settingsUnderFaults(),
        KAFKA_BROKERS: addressOf(toKafka()),
        KAFKA_CONNECT_TIMEOUT_MS: '300000',
        DATABASE_URL: through.href,
      };
      const openStore = async (dataDir: string) => ({
        ...runStoreOf(server, dataDir),
        environment: {
          DATA_DIR: dataDir,
          EVENTSTORE_CONNECTION_STRING: connectionStringOf(toStore.port),
        },
      });
      run = new FaultRun(new KillRun(kafka.broker.brokers, openStore, settings));
      await run.run.start();
      await run.produce(500);
      await run.recovered();
    }, LIMIT_MS);
    afterAll(async () => {
      await run.run.close();
      toStore.close();
      toPostgres.close();
      await Promise.all([server.stop(), postgres.stop(), kafka.stop()]);
    });

    function toKafka(): FaultProxy {
      const [proxy] = kafka.proxies;
      if (proxy === undefined) throw new Error('no proxy');
      return proxy;
    }

    async function suffer(
      kind: FaultKind,
      proxies: readonly FaultProxy[],
    ): Promise<readonly ServiceSample[]> {
      const { residentBytes } = await run.sample();
      const suffered = await run.suffer(kind.on(proxies));
      const start = Date.now();
      await listsAreUpToDate(run);
      tell(`${kind.name}, lists ${Date.now() - start} ms later`, suffered);
      expectBounded(suffered.samples, residentBytes);
      return suffered.samples;
    }

    it.each(ALL_KINDS)(
      'goes on by itself, in bounded memory, when the network to the event store was $name',
      async (kind) => {
        const samples = await suffer(kind, [toStore]);
        if (kind.isTotal) expectTold(samples, 'eventStore', OF_EVENT_STORE);
      },
      LIMIT_MS,
    );

    it.each(ALL_KINDS)(
      'takes commands as ever when the network to PostgreSQL is $name, and brings its lists up to date',
      async (kind) => {
        const samples = await suffer(kind, [toPostgres]);
        for (const { ready, live } of samples) expect({ ready, live }).toEqual({ ready: 200, live: 200 });
        if (kind.isTotal) expect(samples.at(-1)?.reasons['readModel']).toMatch(/^DATABASE_URL: ./);
      },
      LIMIT_MS,
    );

    it.each([CUT, REFUSED, BLACK_HOLE])(
      'goes on by itself, in bounded memory, when the networks to all of them were $name',
      async (kind) => {
        const samples = await suffer(kind, [toKafka(), toStore, toPostgres]);
        if (!kind.isTotal) return;
        expectTold(samples, 'bus', OF_KAFKA);
        expectTold(samples, 'eventStore', OF_EVENT_STORE);
      },
      LIMIT_MS,
    );

    it(
      'starts when Kafka and the event store come, and not together',
      async () => {
        expect(await run.run.service.stop()).toBe(0);
        for (const proxy of [toKafka(), toStore]) proxy.refuse();
        await run.produce(500);
        const starting = run.run.start();
        await sleep(AWAY_AT_START_MS);
        await toKafka().heal();
        await starting;
        await until('it says what it waits for', LIMIT_MS, async () => {
          const { ready, reasons } = await run.sample();
          return ready === 503 && OF_EVENT_STORE.test(reasons['eventStore'] ?? '');
        });
        await toStore.heal();
        await run.recovered();
        await listsAreUpToDate(run);
      },
      LIMIT_MS,
    );

    it(
      'has lost nothing, done nothing twice, and acknowledged nothing wrongly; and its lists are what the events fold to',
      async () => {
        expect((await run.brokenPromises()).slice(0, 20)).toEqual([]);
        await expectFoldedLists(run.run.store.open(), postgres.url);
      },
      LIMIT_MS,
    );
  });
});
