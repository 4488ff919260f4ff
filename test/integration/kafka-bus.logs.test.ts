import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { handlersFor, until } from '../contracts/bus.contract.js';
import { describeWithKafka } from '../support/kafka.js';
import { Bench, PARTITIONS, range, valuesOf } from './kafka-bus.support.js';

describeWithKafka('The Kafka bus and the lives of a topic', (brokers) => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench(brokers);
  });

  afterEach(() => bench.close());

  it('goes on after its last commit, under the same log, when it is started again', async () => {
    const first = await bench.reading();
    await bench.sendUpdates(['1', '2']);
    await until(() => first.seen.length === 2);
    await first.bus.stop();

    await bench.sendUpdates(['3']);
    const second = await bench.reading();
    await until(() => second.seen.length === 1);
    expect(valuesOf(second.seen)).toEqual(['3']);
    expect(second.seen[0]?.position).toMatchObject({ offset: 2, log: first.seen[0]?.position.log });
  });

  it('gives what was processed but not committed the same log and offset after a crash', async () => {
    const first = await bench.connected({ shutdownMs: 100, sessionTimeoutMs: 6_000 });
    const processed: unknown[] = [];
    await first.consume(
      handlersFor('update', async ({ messages }) => {
        processed.push(...messages.map(({ position }) => position));
        // Killed here: what was done is durable, the commit never happens.
        await new Promise(() => undefined);
      }),
    );
    await bench.sendUpdates(['1', '2']);
    await until(() => processed.length > 0);
    await first.stop();

    const second = await bench.reading();
    await until(() => second.seen.length === 2);
    expect(second.seen.map(({ position }) => position).slice(0, processed.length)).toEqual(processed);
  });

  for (const { name, count } of [
    { name: 'shorter', count: 3 },
    { name: 'as long', count: 10 },
    { name: 'longer', count: 25 },
  ]) {
    describe(`when the topic was made anew, its new log being ${name}`, () => {
      it('while it ran, delivers every new command, under a new log', async () => {
        const { bus, seen } = await bench.reading();
        await bench.sendUpdates(range('old-', 10));
        await until(() => seen.length === 10);

        await bench.makeAnew(range('new-', count));
        await until(() => seen.length >= 10 + count);
        await bench.sendUpdates(['last']);
        await until(() => valuesOf(seen).includes('last'));
        expect(valuesOf(seen)).toEqual([...range('old-', 10), ...range('new-', count), 'last']);

        const logs = [...new Set(seen.map(({ position }) => position.log))];
        expect(logs).toHaveLength(2);
        expect(seen[10]?.position).toMatchObject({ offset: 0, log: logs[1] });
        await until(() => bus.health() === null);
      });

      it('while it was stopped, delivers every new command, under a new log', async () => {
        const first = await bench.reading();
        await bench.sendUpdates(range('old-', 10));
        await until(() => first.seen.length === 10);
        await first.bus.stop();

        await bench.makeAnew(range('new-', count));
        const second = await bench.reading();
        await until(() => second.seen.length >= count);
        await bench.sendUpdates(['last']);
        await until(() => valuesOf(second.seen).includes('last'));
        expect(valuesOf(second.seen)).toEqual([...range('new-', count), 'last']);
        expect(second.seen[0]?.position.offset).toBe(0);
        expect(second.seen[0]?.position.log).not.toBe(first.seen[0]?.position.log);
      });
    });
  }

  it('notices a topic that was made anew while a batch was in hand', async () => {
    const bus = await bench.connected();
    const seen: { value: string; log: string }[] = [];
    let isBusy = false;
    let mayGoOn = false;
    await bus.consume(
      handlersFor('update', async ({ messages }) => {
        seen.push(...messages.map(({ value, position }) => ({ value: String(value), log: position.log })));
        isBusy = true;
        await until(() => mayGoOn);
      }),
    );
    await bench.sendUpdates(['old']);
    await until(() => isBusy);
    await bench.makeAnew(range('new-', 5));
    mayGoOn = true;
    await until(() => seen.some(({ value }) => value === 'new-4'));
    expect(new Set(seen.filter(({ value }) => value === 'old').map(({ log }) => log)).size).toBe(1);
    const fresh = seen.filter(({ value }) => value !== 'old');
    expect(fresh.map(({ value }) => value)).toEqual(range('new-', 5));
    expect(fresh[0]?.log).not.toBe(seen[0]?.log);
  });

  it('makes a topic again that was deleted under it, and is not healthy meanwhile', async () => {
    const { bus, seen } = await bench.reading();
    await bench.sendUpdates(['1']);
    await until(() => seen.length === 1);
    const admin = await bench.admin();
    await admin.deleteTopics({ topics: [bench.updates] });
    let wasUnhealthy = false;
    await until(async () => {
      wasUnhealthy ||= bus.health() !== null;
      return wasUnhealthy && bus.health() === null;
    });
    await bench.sendUpdates(['2']);
    await until(() => seen.length === 2);
    expect(seen[1]?.position.offset).toBe(0);
    expect(seen[1]?.position.log).not.toBe(seen[0]?.position.log);
  });

  it('stays in the log when old commands expired while it was stopped', async () => {
    const first = await bench.reading();
    await bench.sendUpdates(['1', '2']);
    await until(() => first.seen.length === 2);
    await first.bus.stop();

    await bench.sendUpdates(['3', '4', '5']);
    const admin = await bench.admin();
    await admin.fetchTopicOffsets(bench.updates); // so that kafkajs knows the topic's leader
    await admin.deleteTopicRecords({ topic: bench.updates, partitions: [{ partition: 0, offset: '4' }] });
    const second = await bench.reading();
    await until(() => second.seen.length === 1);
    expect(valuesOf(second.seen)).toEqual(['5']);
    expect(second.seen[0]?.position.log).toBe(first.seen[0]?.position.log);
  });

  it("starts where an operator's tool set the group's offset", async () => {
    const first = await bench.reading();
    await bench.sendUpdates(['1', '2', '3']);
    await until(() => first.seen.length === 3);
    await first.bus.stop();

    const admin = await bench.admin();
    await until(async () => {
      try {
        const partitions = [{ partition: 0, offset: '1' }];
        await admin.setOffsets({ groupId: bench.prefix, topic: bench.updates, partitions });
        return true;
      } catch {
        return false;
      }
    });
    const second = await bench.reading();
    await until(() => second.seen.length === 2);
    expect(valuesOf(second.seen)).toEqual(['2', '3']);
    expect(second.seen[0]?.position.log).toBe(first.seen[0]?.position.log);
  });

  it('writes the log into the metadata of its commits', async () => {
    const { seen } = await bench.reading();
    await bench.sendUpdates(['1']);
    await until(async () => (await bench.committed()).some(({ offset }) => offset === '1'));
    const commits = await bench.committed();
    expect(commits).toHaveLength(PARTITIONS);
    expect(commits.find(({ partition }) => partition === 0)?.metadata).toBe(
      JSON.stringify({ log: seen[0]?.position.log }),
    );
  });
});
