import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { CertificateAuthority } from '../support/certificates.js';
import {
  connectionStringOf,
  type EventStoreServer,
  startEventStoreServer,
} from '../support/eventstore-server/index.js';
import { bothWays, FaultProxy } from '../support/fault-proxy.js';
import { FaultRun } from '../support/fault-run.js';
import { RestClient } from '../support/http.js';
import { describeWithKafkaStarter } from '../support/kafka.js';
import { prepareCommands, produceAll, until } from '../support/kafka-run.js';
import { KillRun, LIMIT_MS } from '../support/kill-run.js';
import { describeWithPostgresStarter } from '../support/postgres.js';
import { type PostgresServer, startPostgresServer } from '../support/postgres-server.js';
import { addressOf, type ProxiedKafka, startProxiedKafka } from '../support/proxied-kafka.js';
import { faultSeed } from '../support/random.js';
import { runStoreOf, sqliteRunStore } from '../support/run-store.js';
import { metricOf } from '../support/service-sample.js';
import { temporaryFolder } from '../support/service.js';
import {
  expectBounded,
  expectFoldedLists,
  listsAreUpToDate,
  settingsUnderFaults,
  tell,
} from './network-faults.expectations.js';

/*
 * A network that changes bytes. TLS finds out, and cuts the connection; without it Kafka's records have a checksum, and
 * nothing else has: what is changed there may be believed, but must not end the service.
 */

const seed = faultSeed();
const FLIP_MS = 6_000;
const FLIP_EVERY_BYTES = 20_000;
/** Large, so that most of what is changed is within them. */
const PADDING_BYTES = 2_000;

describeWithKafkaStarter(`while the network changes bytes (FAULT_SEED=${seed})`, () => {
  describeWithPostgresStarter('the service', () => {
    const folder = temporaryFolder();
    let certificate: { cert: string; key: string; ca: string };
    let kafka: ProxiedKafka;
    let postgres: PostgresServer;

    beforeAll(async () => {
      const authority = CertificateAuthority.root(join(folder.path, 'authority'));
      const names = { usage: 'serverAuth', alternative: 'IP:127.0.0.1,DNS:localhost' } as const;
      certificate = { ...authority.issue('server', names), ca: authority.cert };
      [kafka, postgres] = await Promise.all([
        startProxiedKafka(seed, ['tls', 'plain', 'plain']),
        startPostgresServer(certificate),
      ]);
    }, LIMIT_MS);
    afterAll(async () => {
      await Promise.all([kafka.stop(), postgres.stop()]);
      folder.remove();
    });

    function proxyOfKafka(n: number): FaultProxy {
      const proxy = kafka.proxies[n];
      if (proxy === undefined) throw new Error('no proxy');
      return proxy;
    }

    function postgresThrough(proxy: FaultProxy, options: Record<string, string> = {}): string {
      const url = new URL(postgres.url);
      url.port = String(proxy.port);
      for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value);
      return url.href;
    }

    const flipping = (proxy: FaultProxy, faults = bothWays({ flipEveryBytes: FLIP_EVERY_BYTES })) => ({
      begin: () => {
        proxy.faults = faults;
      },
      lastsMs: FLIP_MS,
      end: () => proxy.heal(),
    });

    describe('with TLS everywhere', () => {
      let server: EventStoreServer;
      let toStore: FaultProxy;
      let toPostgres: FaultProxy;
      let run: FaultRun;

      beforeAll(async () => {
        server = await startEventStoreServer({ tls: certificate });
        toStore = await FaultProxy.start({ target: server.port, seed: seed + 1 });
        toPostgres = await FaultProxy.start({ target: postgres.port, seed: seed + 2 });
        const settings = {
          ...settingsUnderFaults(),
          KAFKA_BROKERS: addressOf(proxyOfKafka(0)),
          KAFKA_TLS: 'on',
          KAFKA_TLS_CA_FILE: String(kafka.broker.caPath),
          DATABASE_URL: postgresThrough(toPostgres, {
            sslmode: 'verify-full',
            sslrootcert: certificate.ca,
          }),
        };
        const openStore = async (dataDir: string) => ({
          ...runStoreOf(server, dataDir),
          environment: {
            DATA_DIR: dataDir,
            EVENTSTORE_CONNECTION_STRING: connectionStringOf(toStore.port, { tls: certificate }),
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
        await server.stop();
      });

      it.each([
        ['Kafka', () => proxyOfKafka(0)],
        ['the event store', () => toStore],
        ['PostgreSQL', () => toPostgres],
      ])(
        'goes on by itself when it was the one to %s',
        async (name, proxyOf) => {
          const proxy = proxyOf();
          const { residentBytes } = await run.sample();
          const suffered = await run.suffer(flipping(proxy));
          await listsAreUpToDate(run);
          tell(`bytes to ${name} changed`, suffered);
          expect(proxy.stats.toServer.flippedBits + proxy.stats.toClient.flippedBits).toBeGreaterThan(0);
          expectBounded(suffered.samples, residentBytes);
        },
        LIMIT_MS,
      );

      it(
        'has lost nothing, done nothing twice, acknowledged nothing wrongly, and its lists are right',
        async () => {
          expect((await run.brokenPromises()).slice(0, 20)).toEqual([]);
          await expectFoldedLists(run.run.store.open(), postgres.url);
        },
        LIMIT_MS,
      );
    });

    it(
      'takes no command of Kafka that was changed on its way, without TLS, and each one afterwards',
      async () => {
        const proxy = proxyOfKafka(1);
        const settings = { ...settingsUnderFaults(), KAFKA_BROKERS: addressOf(proxy) };
        const run = new FaultRun(new KillRun(kafka.broker.brokers, sqliteRunStore, settings));
        try {
          await run.run.start();
          await run.produce(500);
          await run.recovered();
          const flips = { flipEveryBytes: FLIP_EVERY_BYTES, flipFromBytes: 8_000 };
          const suffered = await run.suffer({
            ...flipping(proxy, { toClient: flips }),
            portion: 1_500,
            paddingBytes: PADDING_BYTES,
          });
          tell('records changed', suffered);
          const { metrics } = await run.sample();
          expect(metricOf(metrics, 'replica_damaged_fetches_total')).toBeGreaterThan(0);
          expect((await run.brokenPromises()).slice(0, 20)).toEqual([]);
        } finally {
          await run.run.close();
        }
      },
      LIMIT_MS,
    );

    it(
      'lives on without TLS anywhere, and works again afterwards',
      async () => {
        const server = await startEventStoreServer();
        const toKafka = proxyOfKafka(2);
        const toStore = await FaultProxy.start({ target: server.port, seed: seed + 3 });
        const toPostgres = await FaultProxy.start({ target: postgres.port, seed: seed + 4 });
        const settings = {
          ...settingsUnderFaults(),
          KAFKA_BROKERS: addressOf(toKafka),
          DATABASE_URL: postgresThrough(toPostgres, { options: '-csearch_path=plain' }),
        };
        const openStore = async (dataDir: string) => ({
          ...runStoreOf(server, dataDir),
          environment: { DATA_DIR: dataDir, EVENTSTORE_CONNECTION_STRING: connectionStringOf(toStore.port) },
        });
        const run = new KillRun(kafka.broker.brokers, openStore, settings);
        const proxies = [toKafka, toStore, toPostgres];
        try {
          await postgres.query('CREATE SCHEMA plain');
          await run.start();
          const rest = new RestClient(run.service.url, run.prefix);
          for (const proxy of proxies) proxy.faults = bothWays({ flipEveryBytes: FLIP_EVERY_BYTES });
          const end = Date.now() + 2 * FLIP_MS;
          for (let from = 0; Date.now() < end; from += 200) {
            await produceAll(run.kafka, run.topic, prepareCommands({ count: 200, devices: 50, from }));
            const [live] = await Promise.all([
              rest.get('/health/live'),
              rest.report(`device-${from % 50}`, { from }),
            ]);
            expect(live.status).toBe(200);
          }
          console.log(
            `Bits that were changed: ${proxies.map(({ stats }) => stats.toServer.flippedBits + stats.toClient.flippedBits).join(', ')}`,
          );
          for (const proxy of proxies) {
            await proxy.heal();
            // What is believed of a connection that said something wrong is not to be relied on any more.
            proxy.cut();
          }
          // Of a device of which nothing was changed.
          await until(
            'an update is accepted',
            LIMIT_MS,
            async () => (await rest.report('fresh', { n: 1 })).status === 200,
          );
          const [token, deviceId] = ['after-all', 'fresh'];
          const value = JSON.stringify({ state: { reported: { n: 2 } }, clientToken: token });
          const state = { reported: { n: 2 } };
          await produceAll(run.kafka, run.topic, [{ token, deviceId, state, expected: 'accepted', value }]);
          await until('it is done', LIMIT_MS, async () => {
            const { body } = await rest.get(`/${run.prefix}/fresh`);
            return (
              JSON.stringify((body['state'] as { reported?: unknown } | undefined)?.reported) === '{"n":2}'
            );
          });
          expect((await rest.get('/health/live')).status).toBe(200);
        } finally {
          await run.close();
          toStore.close();
          toPostgres.close();
          await server.stop();
        }
      },
      LIMIT_MS,
    );
  });
});
