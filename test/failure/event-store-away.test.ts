import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEventStoreServer, type EventStoreServer } from '../support/eventstore-server/index.js';
import { RestClient, until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { type PreparedCommand, prepareCommands, produceAll } from '../support/kafka-run.js';
import { KillRun, LIMIT_MS } from '../support/kill-run.js';
import { runStoreOf } from '../support/run-store.js';

/** Longer than the service waits for any one answer of the store, which is 10 s. */
const AWAY_AT_START_MS = 12_000;
const AWAY_ON_THE_WAY_MS = 60_000;
const DEVICES = 500;
const FEW = 3_000;
/** In memory at once they would take far more than `GROWTH_BYTES`. */
const MANY = 30_000;
const PADDING_BYTES = 4_096;
const GROWTH_BYTES = 64 * 1024 * 1024;
/** One for each of the steps that try again, every 10 s, and some for what else is told. */
const LINES_PER_MINUTE = 60;

const AWAY = 'The event store does not answer as it should';
const BACK = 'The event store answers again';

interface Sample {
  readonly ready: number;
  readonly live: number;
  readonly reason: string | undefined;
  readonly residentBytes: number;
}

describeWithKafka('while the event store is away, the service on Kafka', (brokers) => {
  const sent: PreparedCommand[] = [];
  let server: EventStoreServer;
  let run: KillRun;
  let rest: RestClient;

  beforeAll(async () => {
    server = await startEventStoreServer();
    await server.stop();
    run = new KillRun(brokers, async (dataDir) => runStoreOf(server, dataDir), {
      KAFKA_SESSION_TIMEOUT_MS: '30000',
    });
    await run.start();
    rest = new RestClient(run.service.url);
  });
  afterAll(async () => {
    await run.close();
    await server.stop();
  });

  async function sample(): Promise<Sample> {
    const [ready, live, metrics] = await Promise.all([
      rest.get('/health/ready'),
      rest.get('/health/live'),
      rest.get('/metrics'),
    ]);
    const error = ready.body['error'] as { eventStore?: { reason?: string } } | undefined;
    return {
      ready: ready.status,
      live: live.status,
      reason: error?.eventStore?.reason,
      residentBytes: Number(/^process_resident_memory_bytes (\S+)$/m.exec(metrics.text)?.[1]),
    };
  }

  /** Looks every second, from when it is known to be away. */
  async function watch(milliseconds: number): Promise<Sample[]> {
    await until('it is not ready', async () => (await sample()).ready === 503);
    const samples: Sample[] = [];
    for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(1_000)) {
      samples.push(await sample());
    }
    return samples;
  }

  function expectAway(samples: readonly Sample[]): void {
    const store = new RegExp(`^EVENTSTORE_CONNECTION_STRING: event store 127\\.0\\.0\\.1:${server.port}: .`);
    for (const { ready, live, reason } of samples) {
      expect({ ready, live }).toEqual({ ready: 503, live: 200 });
      expect(reason).toMatch(store);
    }
  }

  const told = (message: string): number => run.service.lines.filter((line) => line.includes(message)).length;
  /** Refused commands are told one by one, and are another matter. */
  const lineCount = (): number =>
    run.service.lines.filter((line) => !line.includes('Command refused')).length;

  async function expectBack(): Promise<void> {
    const start = Date.now();
    await until('it is ready', async () => (await sample()).ready === 200);
    await until('all is done', async () => (await run.lag()) === 0);
    console.log(`All was done ${Date.now() - start} ms after the event store came back`);
  }

  it(
    'starts, says so, and does the work when the store comes',
    async () => {
      sent.push(...prepareCommands({ count: FEW, devices: DEVICES }));
      await produceAll(run.kafka, run.topic, sent);
      expectAway(await watch(AWAY_AT_START_MS));
      expect([told(AWAY), told(BACK), await run.acceptedCount()]).toEqual([1, 0, 0]);

      await server.restart();
      await expectBack();
      expect(told(BACK)).toBe(1);
    },
    LIMIT_MS,
  );

  it(
    `waits for a minute amid its work, in bounded memory, and goes on by itself`,
    async () => {
      const commands = prepareCommands({
        count: MANY,
        devices: DEVICES,
        from: FEW,
        paddingBytes: PADDING_BYTES,
      });
      sent.push(...commands);
      const portion = MANY / 10;
      await produceAll(run.kafka, run.topic, commands.slice(0, portion));
      const linesBefore = lineCount();
      await server.stop();

      // All the while more comes in, most of it when the first samples have been taken.
      const producing = (async () => {
        for (let from = portion; from < MANY; from += portion) {
          await produceAll(run.kafka, run.topic, commands.slice(from, from + portion));
          await sleep(AWAY_ON_THE_WAY_MS / 20);
        }
      })();
      const samples = await watch(AWAY_ON_THE_WAY_MS);
      await producing;
      expectAway(samples);
      const accepted = await run.acceptedCount();
      expect(told(AWAY)).toBe(2);
      expect(lineCount() - linesBefore).toBeLessThan(LINES_PER_MINUTE);
      const bytes = samples.map(({ residentBytes }) => residentBytes);
      const atFirst = Math.max(...bytes.slice(0, Math.ceil(bytes.length / 6)));
      console.log(`Resident: ${bytes.map((size) => Math.round(size / 1024 / 1024)).join(' ')} MiB`);
      expect(Math.max(...bytes)).toBeLessThan(atFirst + GROWTH_BYTES);

      await server.restart();
      await expectBack();
      expect(await run.acceptedCount()).toBeGreaterThan(accepted);
      expect(told(BACK)).toBeGreaterThanOrEqual(2);
      // It kept its partitions: nobody had to take anything up again.
      expect(told('Joined the consumer group')).toBe(1);
    },
    LIMIT_MS,
  );

  it(
    'has lost nothing, and done nothing twice',
    async () => {
      expect((await run.brokenPromises(sent)).slice(0, 20)).toEqual([]);
    },
    LIMIT_MS,
  );
});
