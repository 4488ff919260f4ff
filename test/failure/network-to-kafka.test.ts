import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { describeWithKafkaStarter } from '../support/kafka.js';
import { FaultRun } from '../support/fault-run.js';
import { KillRun, LIMIT_MS } from '../support/kill-run.js';
import { addressOf, type ProxiedKafka, startProxiedKafka } from '../support/proxied-kafka.js';
import { faultSeed } from '../support/random.js';
import { sqliteRunStore } from '../support/run-store.js';
import { ALL_KINDS } from './network-faults.js';
import { expectBounded, expectTold, settingsUnderFaults, tell } from './network-faults.expectations.js';

const seed = faultSeed();

describeWithKafkaStarter(`while the network to Kafka fails (FAULT_SEED=${seed}), the service`, () => {
  let kafka: ProxiedKafka;
  let run: FaultRun;

  beforeAll(async () => {
    kafka = await startProxiedKafka(seed, ['plain']);
    const [proxy] = kafka.proxies;
    if (proxy === undefined) throw new Error('no proxy');
    const settings = { ...settingsUnderFaults(), KAFKA_BROKERS: addressOf(proxy) };
    run = new FaultRun(new KillRun(kafka.broker.brokers, sqliteRunStore, settings));
    await run.run.start();
    await run.produce(500);
    await run.recovered();
  }, LIMIT_MS);
  afterAll(async () => {
    await run.run.close();
    await kafka.stop();
  });

  it.each(ALL_KINDS)(
    'goes on by itself, in bounded memory, when it was $name',
    async (kind) => {
      const memoryBefore = (await run.sample()).residentBytes;
      const suffered = await run.suffer(kind.on(kafka.proxies));
      tell(kind.name, suffered);
      if (kind.isTotal) expectTold(suffered.samples, 'bus', /^KAFKA_BROKERS: ./);
      expectBounded(suffered.samples, memoryBefore);
    },
    LIMIT_MS,
  );

  it(
    'has lost nothing, done nothing twice, and acknowledged nothing wrongly',
    async () => {
      expect((await run.brokenPromises()).slice(0, 20)).toEqual([]);
    },
    LIMIT_MS,
  );
});
