import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import kafkajs from 'kafkajs';
import { MAX_UNFOLDED_BYTES } from '../../src/adapters/bus/kafka/unfolding.js';
import {
  type BatchHandler,
  type Bus,
  type CommandMessage,
  type OutputMessage,
  type ReplyMessage,
} from '../../src/application/ports/bus.js';
import { collect, handlersFor, output, replyTo, signal, until } from '../contracts/bus.contract.js';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.js';
import { expelMembers } from '../support/group-members.js';
import { kafkaClient } from '../support/kafka-run.js';
import { describeWithKafka, describeWithKafkaStarter } from '../support/kafka.js';
import { consumerGroupPrototype } from '../../src/adapters/bus/kafka/kafkajs-internals.js';
import { settled } from '../../src/adapters/bus/kafka/settled.js';
import { Bench, range, valuesOf } from './kafka-bus.support.js';

const { createErrorFromCode } = createRequire(import.meta.url)('kafkajs/src/protocol/error') as {
  createErrorFromCode: (code: number) => Error;
};
const REBALANCE_IN_PROGRESS = 27;
const { prototype: brokerPrototype } = createRequire(import.meta.url)('kafkajs/src/broker') as {
  prototype: {
    syncGroup: (asked: { readonly groupId: string; readonly memberId: string }) => Promise<unknown>;
    offsetCommit: (asked: { readonly groupId: string }) => Promise<unknown>;
    heartbeat: (asked: { readonly groupId: string }) => Promise<unknown>;
  };
};

/** Hands over one command of each of four partitions, which one fetch has brought. */
async function consumeAtOnce(bench: Bench, bus: Bus, handle: BatchHandler): Promise<void> {
  const [parked, go] = [signal(), signal()];
  const handleOrPark: BatchHandler = async (batch) => {
    if (String(batch.messages[0]?.value) !== 'park') return handle(batch);
    parked.resolve();
    await go.promise;
  };
  const channels = ['update', 'delete'] as const;
  await bus.consume(new Map(channels.map((channel) => [channel, handleOrPark])));
  await bench.sendUpdates(['park'], { partition: 0 });
  await parked.promise;
  // As long as one is at work, nothing else is fetched.
  const producer = await bench.producer();
  await producer.sendBatch({
    topicMessages: channels.map((channel) => ({
      topic: `${bench.prefix}.${channel}`,
      messages: [0, 1].map((partition) => ({ key: 'lamp', value: '{}', partition })),
    })),
  });
  go.resolve();
}

describeWithKafka('The intake of the Kafka bus', (brokers) => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench(brokers);
  });

  afterEach(() => bench.close());

  it('gives a partition number of all channels to one member, and all partitions to somebody', async () => {
    const members = await Promise.all([1, 2].map(() => bench.connected({ partitions: 4 })));
    const seen = members.map((bus) => collect(bus, 'update', 'delete', 'get'));
    await Promise.all(members.map((bus, index) => bus.consume(seen[index]?.handlers ?? new Map())));
    const producer = await bench.producer();
    const send = (): Promise<unknown> =>
      producer.sendBatch({
        topicMessages: ['update', 'delete', 'get'].map((channel) => ({
          topic: `${bench.prefix}.${channel}`,
          messages: [0, 1, 2, 3].map((partition) => ({ key: 'lamp', value: '{}', partition })),
        })),
      });
    const owners = (): Map<number, Set<number>> => {
      const all = new Map<number, Set<number>>();
      seen.forEach(({ messages }, member) => {
        for (const { position } of messages) {
          all.set(position.partition, (all.get(position.partition) ?? new Set()).add(member));
        }
      });
      return all;
    };
    // Until both have joined, one may have all; and what is sent amid it may come to both.
    await until(async () => {
      for (const each of seen) each.messages.length = 0;
      await send();
      await until(() => seen.reduce((sum, { messages }) => sum + messages.length, 0) >= 12);
      return (
        seen.every(({ messages }) => messages.length > 0) &&
        [...owners().values()].every((members) => members.size === 1)
      );
    });
    expect([...owners().keys()].sort()).toEqual([0, 1, 2, 3]);
    for (const each of owners().values()) expect(each.size).toBe(1);
  });

  it('gives a long batch up when its partition goes to another member, which then gets it', async () => {
    const first = await bench.connected({ sessionTimeoutMs: 6_000 });
    const entered = signal();
    const lost: CommandMessage[] = [];
    await first.consume(
      handlersFor('update', async (batch) => {
        entered.resolve();
        lost.push(...batch.messages);
        while (batch.isCurrent()) {
          await batch.keepAlive();
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        throw new Error('not mine any more');
      }),
    );
    await bench.sendUpdates(['0'], { partition: 0 });
    await bench.sendUpdates(['1'], { partition: 1 });
    await entered.promise;
    const second = await bench.reading({ sessionTimeoutMs: 6_000 });
    await until(() => second.seen.length > 0);
    for (const { position } of second.seen) {
      expect(position.log).not.toBe('');
      expect(position.offset).toBe(0);
    }
    expect(lost.length).toBeGreaterThan(0);
  });

  it('does not confirm a batch to a member that the coordinator knows no more', async () => {
    const bus = await bench.connected({ sessionTimeoutMs: 6_000 });
    const confirmed: unknown[] = [];
    const done = signal();
    await bus.consume(
      handlersFor('update', async (batch) => {
        if (confirmed.length > 0) return;
        confirmed.push(batch.isConfirmed());
        await batch.confirm();
        confirmed.push(batch.isConfirmed());
        await expelMembers(kafkaClient(brokers), brokers, bench.prefix);
        confirmed.push(
          await batch.confirm().then(
            () => 'confirmed',
            () => 'refused',
          ),
        );
        confirmed.push(batch.isConfirmed());
        done.resolve();
        throw new Error('not mine any more');
      }),
    );
    await bench.sendUpdates(['0'], { partition: 0 });
    await done.promise;
    // What it has just joined as is not confirmed before a commit was taken.
    expect(confirmed).toEqual([false, true, 'refused', false]);
    await until(async () => (await bench.committed()).some(({ offset }) => offset === '1'));
  });

  it('starts anew where the answer with its partitions is lost, and does not wait until the group gives it up', async () => {
    let reasons: string[] = [];
    const metrics = { restart: (reason: string) => reasons.push(reason) };
    const { seen } = await bench.reading({ metrics });
    await bench.sendUpdates(['first']);
    await until(() => seen.length === 1);
    reasons = [];
    const sync = brokerPrototype.syncGroup;
    const lost = new Set<string>();
    brokerPrototype.syncGroup = async function (asked) {
      const answer = await sync.call(this, asked);
      if (asked.groupId !== bench.prefix || lost.has(asked.memberId)) return answer;
      lost.add(asked.memberId);
      throw new kafkajs.KafkaJSConnectionError('Connection lost');
    };
    try {
      const other = await bench.reading();
      await until(() => reasons.length > 0);
      await bench.sendUpdates(range('', 4));
      await until(() => seen.length + other.seen.length === 5);
    } finally {
      brokerPrototype.syncGroup = sync;
    }
    expect(reasons).toContainEqual(expect.stringContaining('Connection lost'));
  });

  it('has two partitions at work at once, and others while the commits of those are on the way', async () => {
    const gates = new Map<string, ReturnType<typeof signal>>();
    const done: string[] = [];
    let atOnce = 0;
    let most = 0;
    const bus = await bench.connected();
    const commit = brokerPrototype.offsetCommit;
    const held = signal();
    brokerPrototype.offsetCommit = async function (asked) {
      if (asked.groupId === bench.prefix && gates.size > 0) await held.promise;
      return commit.call(this, asked);
    };
    try {
      const handle: BatchHandler = async ({ channel, messages: [first] }) => {
        const name = `${channel}[${first?.position.partition}]`;
        const gate = signal();
        gates.set(name, gate);
        most = Math.max(most, ++atOnce);
        await gate.promise;
        atOnce--;
        done.push(name);
      };
      await consumeAtOnce(bench, bus, handle);
      for (let count = 0; count < 4; count++) {
        // The third is not let in before one of the two is done.
        await until(() => gates.size === Math.min(4, count + 2));
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(gates.size).toBe(Math.min(4, count + 2));
        [...gates.values()][count]?.resolve();
        await until(() => done.length === count + 1);
      }
      expect(most).toBe(2);
      expect((await bench.committed()).map(({ offset }) => offset).sort()).toEqual(['-1', '1']);
    } finally {
      held.resolve();
      brokerPrototype.offsetCommit = commit;
    }
    await until(async () => {
      const offsets = (await bench.committed()).map(({ offset }) => offset);
      return offsets.sort().join() === '1,2';
    });
  });

  it('begins no other partition where it has heard meanwhile that the group rebalances', async () => {
    const gate = signal();
    const began: string[] = [];
    const bus = await bench.connected();
    let isRebalancing = false;
    let refused = 0;
    const { heartbeat } = brokerPrototype;
    brokerPrototype.heartbeat = async function (asked) {
      if (asked.groupId !== bench.prefix || !isRebalancing) return heartbeat.call(this, asked);
      refused++;
      throw createErrorFromCode(REBALANCE_IN_PROGRESS);
    };
    try {
      const handle: BatchHandler = async ({ channel, messages: [first] }) => {
        began.push(`${channel}[${first?.position.partition}]`);
        await gate.promise;
      };
      await consumeAtOnce(bench, bus, handle);
      await until(() => began.length === 2);
      isRebalancing = true;
      // The signs of life of those that are at work.
      await until(() => refused > 0);
      const isJoined = signal();
      const join = consumerGroupPrototype.joinAndSync;
      consumerGroupPrototype.joinAndSync = async function () {
        isRebalancing = false;
        expect(began).toHaveLength(2);
        isJoined.resolve();
        await join.call(this);
      };
      try {
        gate.resolve();
        await isJoined.promise;
      } finally {
        consumerGroupPrototype.joinAndSync = join;
      }
      await until(() => new Set(began).size === 4);
    } finally {
      brokerPrototype.heartbeat = heartbeat;
    }
  });

  it('commits each unit of work, not only the end of what was fetched', async () => {
    const bus = await bench.connected({ maxBatchCount: 3 });
    let count = 0;
    await bus.consume(
      handlersFor('update', async ({ messages }) => {
        if (count >= 6) throw new Error('stuck');
        count += messages.length;
      }),
    );
    await bench.sendUpdates(range('', 9));
    await until(async () => (await bench.committed()).some(({ offset }) => offset === '6'));
    await bus.stop();
    const { seen } = await bench.reading();
    await until(() => seen.length === 3);
    expect(valuesOf(seen)).toEqual(['6', '7', '8']);
  });

  it('tells how many commands wait', async () => {
    const lags: number[] = [];
    const bus = await bench.connected({
      maxBatchCount: 2,
      metrics: { lag: (topic, partition, messages) => lags.push(messages) },
    });
    await bench.sendUpdates(range('', 5));
    await bus.consume(handlersFor('update', async () => undefined));
    await until(() => lags.length === 3);
    expect(lags).toEqual([3, 1, 0]);
  });

  it('tells which partitions went to another member, and at the end that all did', async () => {
    const released: string[] = [];
    const bus = await bench.connected({
      metrics: { released: (topic, partition) => released.push(`${topic}-${partition}`) },
    });
    await bus.consume(handlersFor('update', async () => undefined));
    expect(released).toEqual([]);
    await bench.reading();
    await until(() => released.length === 1);
    expect([0, 1].map((partition) => `${bench.updates}-${partition}`)).toContain(released[0]);
    await bus.stop();
    expect(released.sort()).toEqual([`${bench.updates}-0`, `${bench.updates}-1`]);
  });

  it('takes odd records as they are: no value, no key, headers sent twice', async () => {
    const producer = await bench.producer();
    const { seen } = await bench.reading();
    await producer.send({
      topic: bench.updates,
      messages: [
        { key: null, value: null, partition: 0 },
        { key: '', value: '', partition: 0, headers: { twice: ['a', 'b'] } },
        { key: randomBytes(3), value: randomBytes(3), partition: 0, timestamp: '1' },
      ],
    });
    await until(() => seen.length === 3);
    expect(seen[0]).toMatchObject({ key: null, value: null });
    expect(String(seen[1]?.headers['twice'])).toBe('a,b');
    expect(seen[2]?.position.timestamp).toBe(1);
  });

  it('goes past the marks of transactions, and does not show what was aborted', async () => {
    const { seen } = await bench.reading();
    const producer = await bench.producer({ transactionalId: bench.prefix });
    for (const [value, isKept] of [
      ['kept', true],
      ['aborted', false],
    ] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic: bench.updates, messages: [{ key: 'lamp', value, partition: 0 }] });
      await (isKept ? transaction.commit() : transaction.abort());
    }
    await bench.sendUpdates(['after']);
    await until(() => seen.length === 2);
    expect(valuesOf(seen)).toEqual(['kept', 'after']);
  });

  describe('reads batches of every standard codec', () => {
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd']) {
      (hasKcat() ? it : it.skip)(`${codec}, from librdkafka (needs kcat)`, async () => {
        const { seen } = await bench.reading();
        const values = [...range('small-', 50), `${'long '.repeat(40_000)}end`, ...noise(20)];
        await kcat(brokers, bench.updates, codec, values);
        await until(() => seen.length === values.length);
        expect(valuesOf(seen)).toEqual(values);
      });
    }
  });

  (hasKcat() ? it : it.skip)(
    'reads a batch of more small commands than kafkajs can (needs kcat)',
    async () => {
      const bus = await bench.connected();
      let count = 0;
      let lastValue = '';
      await bus.consume(
        handlersFor('update', async ({ messages }) => {
          count += messages.length;
          lastValue = String(messages[messages.length - 1]?.value);
        }),
      );
      const large = ['batch.num.messages=1000000', 'batch.size=20000000', 'message.max.bytes=20000000'];
      await kcat(brokers, bench.updates, 'gzip', range('', 200_000), ['linger.ms=2000', ...large]);
      await until(() => count === 200_000);
      expect(lastValue).toBe('199999');
    },
  );

  it('hands on as one command without a key what unfolds to more than memory should hold, and goes on', async () => {
    const { seen } = await bench.reading();
    const producer = await bench.producer();
    const bomb = { key: 'lamp', value: Buffer.alloc(MAX_UNFOLDED_BYTES + 1), partition: 0 };
    await producer.send({
      topic: bench.updates,
      messages: [bomb],
      compression: kafkajs.CompressionTypes.GZIP,
    });
    await bench.sendUpdates(['after']);
    await until(() => seen.length === 2);
    expect(seen[0]).toMatchObject({ key: null, position: { partition: 0, offset: 0 } });
    expect(seen[0]?.unreadable).toBe(`The batch unfolds to more than ${MAX_UNFOLDED_BYTES} bytes`);
    expect(seen[0]?.value?.length).toBeLessThan(1_000_000);
    expect(valuesOf(seen)[1]).toBe('after');
  });

  it('does not let a reply topic that does not exist hold anything up', async () => {
    const bus = await bench.connected();
    const seen: CommandMessage[] = [];
    await bus.consume(
      handlersFor('update', async ({ messages }) => {
        seen.push(...messages);
        await bus.publish(
          messages.flatMap((command) => [output('lamp', '{}'), replyTo(command, '{}', false)]),
        );
      }),
    );
    const accepted: OutputMessage[] = [];
    await bus.listen('update.accepted', (message) => accepted.push(message));
    for (const topic of ['nobody.made.this', 'not a legal name', bench.updates, '']) {
      await bench.sendUpdates([topic], { headers: { kafka_replyTopic: topic, kafka_correlationId: 'c' } });
    }
    await bench.sendUpdates(['last'], {
      headers: {
        kafka_replyTopic: `${bench.prefix}.replies`,
        kafka_correlationId: 'c',
        kafka_replyPartition: '77',
      },
    });
    await until(() => accepted.length === 5);
    expect(seen).toHaveLength(5);
    expect(bus.health()).toBeNull();
  });

  it('answers at a topic of the asker', async () => {
    const admin = await bench.admin();
    const theirs = `${bench.prefix}-theirs`;
    await admin.createTopics({ topics: [{ topic: theirs, numPartitions: 3 }], waitForLeaders: true });
    const bus = await bench.connected();
    const seen = collect(bus, 'update');
    await bus.consume(seen.handlers);
    await bench.sendUpdates(['1'], {
      headers: { kafka_replyTopic: theirs, kafka_correlationId: 'c', kafka_replyPartition: '2' },
    });
    await until(async () => {
      const offsets = await admin.fetchTopicOffsets(theirs);
      return offsets.find(({ partition }) => partition === 2)?.high === '1';
    });
  });

  it('answers askers side by side, whatever becomes of the topic of one of them', async () => {
    const before = openSockets();
    const bus = await bench.connected();
    const admin = await bench.admin();
    const [gone, theirs] = [`${bench.prefix}-gone`, `${bench.prefix}-theirs`];
    await admin.createTopics({
      topics: [gone, theirs].map((topic) => ({ topic, numPartitions: 1 })),
      waitForLeaders: false,
    });
    // kafkajs's own waiting fails where the topics are not known everywhere at once.
    await settled(() => admin.fetchTopicMetadata({ topics: [gone, theirs] }));
    await Promise.all([gone, theirs, gone, theirs].map((topic) => bus.publish([reply(topic)])));
    await admin.deleteTopics({ topics: [gone] });
    await Promise.all([gone, theirs, theirs].map((topic) => bus.publish([reply(topic)])));
    const [offsets] = await admin.fetchTopicOffsets(theirs);
    expect(offsets?.high).toBe('4');

    await bus.stop();
    await admin.disconnect();
    await until(() => openSockets() <= before);
  });

  it('leaves no group behind that only it used', async () => {
    const bus = await bench.connected();
    const leave = await bus.listen('update.accepted', () => undefined);
    await leave();
    await bus.stop();
    const admin = await bench.admin();
    const { groups } = await admin.listGroups();
    expect(groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(bench.prefix))).toEqual([]);
  });

  it('sends what a topic with a lower limit does not take as a dead letter, and the rest', async () => {
    const bus = await bench.connected();
    const admin = await bench.admin();
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: 2,
          name: `${bench.prefix}.update.accepted`,
          configEntries: [{ name: 'max.message.bytes', value: '2000' }],
        },
      ],
    });
    const accepted: OutputMessage[] = [];
    const dead: OutputMessage[] = [];
    await bus.listen('update.accepted', (message) => accepted.push(message));
    await bus.listen('dead-letter', (message) => dead.push(message));
    const tooLarge = 'x'.repeat(3_000);
    const rest = (): string[] =>
      accepted.map(({ value }) => String(value)).filter((value) => value !== tooLarge);
    const large = (): number => accepted.length - rest().length;
    // The limit holds a moment after it was set.
    for (let sent = 1; dead.length === 0; sent++) {
      await bus.publish([output('lamp', tooLarge)]);
      await until(() => dead.length + large() === sent);
    }
    const values = range('', 30).map((value, index) => (index === 17 ? tooLarge : value));
    const [before, largeBefore] = [dead.length, large()];
    await bus.publish(values.map((value) => output('lamp', value)));
    await until(() => rest().length >= 29 && dead.length > before);
    expect(rest()).toEqual(values.filter((_, index) => index !== 17));
    expect([dead.length, large()]).toEqual([before + 1, largeBefore]);
    expect(String(dead.at(-1)?.headers['reason'])).toMatch(/Too large for topic/);
  });
});

describeWithKafkaStarter('The Kafka bus and a broker that dies', () => {
  let broker: KafkaBroker | undefined;
  let bench: Bench | undefined;

  afterEach(async () => {
    await bench?.close();
    await broker?.stop();
  });

  it('goes on by itself when the broker is back, without loss, and says meanwhile that it cannot', async () => {
    broker = await startKafkaBroker();
    bench = new Bench(broker.brokers);
    const { bus, seen } = await bench.reading({ requestTimeoutMs: 2_000 });
    const heard: OutputMessage[] = [];
    await bus.listen('update.accepted', (message) => heard.push(message));
    await bench.sendUpdates(['before']);
    await until(async () => (await bench?.committed())?.some(({ offset }) => offset === '1') === true);

    await broker.kill();
    await until(() => bus.health() !== null);
    await expect(bus.publish([output('lamp', 'during')])).rejects.toMatchObject({ code: 'unavailable' });
    await expect(bus.request('update', 'lamp', Buffer.from('during'), {})).rejects.toMatchObject({
      canRetry: true,
    });

    await broker.restart();
    await until(() => bus.health() === null || seen.length > 1);
    await bench.sendUpdates(['after']);
    await until(() => valuesOf(seen).includes('after'));
    await until(async () => {
      await bus.publish([output('lamp', 'after')]);
      return heard.some(({ value }) => String(value) === 'after');
    });
    await until(() => bus.health() === null);
    expect(new Set(seen.map(({ position }) => position.log)).size).toBe(1);
    const own = valuesOf(seen).filter((value) => value !== 'during');
    expect(own).toEqual(['before', 'after']);
  });

  it('can be stopped while the broker is away', async () => {
    broker = await startKafkaBroker();
    bench = new Bench(broker.brokers);
    const { bus } = await bench.reading();
    await broker.kill();
    const start = Date.now();
    await bus.stop();
    expect(Date.now() - start).toBeLessThan(40_000);
  });
});

function hasKcat(): boolean {
  try {
    execFileSync('kcat', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Sends the lines to partition 0 as one client would, in as few batches as it can. */
async function kcat(
  brokers: string,
  topic: string,
  codec: string,
  lines: readonly string[],
  settings = ['linger.ms=50'],
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const options = [
      '-P',
      '-b',
      brokers,
      '-t',
      topic,
      '-p',
      '0',
      '-z',
      codec,
      ...settings.flatMap((each) => ['-X', each]),
    ];
    const child = execFile('kcat', options, (error) => {
      if (error) reject(new Error('kcat failed', { cause: error }));
      else resolve();
    });
    child.stdin?.end(`${lines.join('\n')}\n`);
  });
}

/** Lines that no codec can make shorter. */
function noise(count: number): string[] {
  return Array.from({ length: count }, () => gzipSync(randomBytes(300)).toString('base64'));
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((each) => each === 'TCPSocketWrap').length;
}

function reply(topic: string): ReplyMessage {
  return {
    channel: 'reply',
    topic,
    partition: null,
    key: 'lamp',
    value: '{}',
    headers: { kafka_correlationId: 'c' },
  };
}
